"""Messaging beside raw UCX and Starway."""
