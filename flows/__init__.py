"""The operations of LLDif: when, where and with what evidence. Imports the science, never the reverse."""
