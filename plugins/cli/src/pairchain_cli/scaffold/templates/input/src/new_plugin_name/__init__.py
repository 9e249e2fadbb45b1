"""NewTypeName, an input module for pairchain."""

from new_plugin_name.new_type_name import NewTypeName as NewTypeName

__version__ = "0.1.0"

__all__ = ["NewTypeName"]
