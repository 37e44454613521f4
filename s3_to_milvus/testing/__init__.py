"""Fakes of every port and the contracts every adapter must pass, shipped for third parties."""
