"""An appliance for each test."""

from tests.appliance_under_test import appliance, github

__all__ = ["appliance", "github"]
