"""`doctor`: everything that a run needs, looked at one by one."""

from moonmind_appliance.cli.doctor.command import doctor

__all__ = ["doctor"]
