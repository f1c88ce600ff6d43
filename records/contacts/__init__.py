"""The ledger of contacts: what was sent to customers, and what decisions have reserved for sending."""

from records.contacts.contact import MARKETING, SERVICE, Contact, ContactReservation, days_since

__all__ = ["MARKETING", "SERVICE", "Contact", "ContactReservation", "days_since"]
