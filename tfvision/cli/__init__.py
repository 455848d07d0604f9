"""The command line: flags, exit codes, messages; what it starts lives elsewhere."""

from tfvision.cli.training import train

__all__ = ["train"]
