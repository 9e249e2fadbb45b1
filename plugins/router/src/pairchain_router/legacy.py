"""How a Router was saved when it was called Asym."""

# today's file first; Asym kept the same content in the file that other modules use
CONFIG_FILES = ("router_config.json", "config.json")
