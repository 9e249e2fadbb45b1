"""The file of a Router saved under its former name, Asym."""

# the present file first; Asym saved the same content in the file that other modules use
CONFIG_FILES = ("router_config.json", "config.json")
