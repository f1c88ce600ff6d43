"""What the names of events mean: names of the Segment specification, and those it lacks.

A ``kind`` is what features ask for. The same kind comes under several names, since each channel has
its own (``Email Opened``, ``Push Notification Tapped``), and a name may say the channel too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """What an event's name says.

    Attributes:
        kind: such as ``viewed``. channel: where the name alone says it.
    """

    kind: str
    channel: str | None = None


# What the customer did in the shop.
VISITS = ("page", "screen", "app_opened", "viewed", "listed", "searched", "cart_viewed")
CARTS = ("cart_added", "cart_removed", "checkout")
# What the company told the customer, and how they took it.
CONTACTS = ("sent", "opened", "clicked", "unsubscribed", "bounced", "marked_as_spam")
# What became of something that is paid for again and again; see features.groups.subscription.
SUBSCRIPTIONS = (
    "subscription_started", "subscription_renewed", "subscription_cancelled", "subscription_ended",
)  # fmt: skip

# Contacts that Patron itself writes as events: see decisions.results.contact_events.
OWN_CONTACTS = ("Contact Sent", "Contact Clicked", "Contact Undone")

MEANINGS: dict[str, Meaning] = {
    "Page Viewed": Meaning("page", "web"),
    "Screen Viewed": Meaning("screen", "app"),
    "Application Opened": Meaning("app_opened", "app"),
    "Product Viewed": Meaning("viewed"),
    "Product Clicked": Meaning("viewed"),
    "Product List Viewed": Meaning("listed"),
    "Product List Filtered": Meaning("listed"),
    "Products Searched": Meaning("searched"),
    "Product Added": Meaning("cart_added"),
    "Product Removed": Meaning("cart_removed"),
    "Cart Viewed": Meaning("cart_viewed"),
    "Checkout Started": Meaning("checkout"),
    "Checkout Step Viewed": Meaning("checkout"),
    "Checkout Step Completed": Meaning("checkout"),
    "Payment Info Entered": Meaning("checkout"),
    "Product Added to Wishlist": Meaning("wished"),
    "Product Removed from Wishlist": Meaning("unwished"),
    "Wishlist Product Added to Cart": Meaning("cart_added"),
    "Product Shared": Meaning("shared"),
    "Cart Shared": Meaning("shared"),
    "Product Reviewed": Meaning("reviewed"),
    "Promotion Viewed": Meaning("promotion_viewed"),
    "Promotion Clicked": Meaning("promotion_clicked"),
    "Coupon Entered": Meaning("coupon_entered"),
    "Coupon Applied": Meaning("coupon_applied"),
    "Coupon Denied": Meaning("coupon_denied"),
    "Coupon Removed": Meaning("coupon_removed"),
    "Email Sent": Meaning("sent", "email"),
    "Email Delivered": Meaning("sent", "email"),
    "Email Opened": Meaning("opened", "email"),
    "Email Link Clicked": Meaning("clicked", "email"),
    "Email Bounced": Meaning("bounced", "email"),
    "Email Marked as Spam": Meaning("marked_as_spam", "email"),
    "Unsubscribed": Meaning("unsubscribed", "email"),
    "Email Unsubscribed": Meaning("unsubscribed", "email"),
    "Subscribed": Meaning("subscribed", "email"),
    "Email Subscribed": Meaning("subscribed", "email"),
    "Push Notification Sent": Meaning("sent", "push"),
    "Push Notification Received": Meaning("sent", "push"),
    "Push Notification Tapped": Meaning("clicked", "push"),
    "Push Notification Bounced": Meaning("bounced", "push"),
    "SMS Sent": Meaning("sent", "sms"),
    "SMS Delivered": Meaning("sent", "sms"),
    "SMS Link Clicked": Meaning("clicked", "sms"),
    "SMS Unsubscribed": Meaning("unsubscribed", "sms"),
    "SMS Subscribed": Meaning("subscribed", "sms"),
    "Push Notification Unsubscribed": Meaning("unsubscribed", "push"),
    "Push Notification Subscribed": Meaning("subscribed", "push"),
    "Action Shown": Meaning("sent"),
    "Action Accepted": Meaning("clicked"),
    "Action Rejected": Meaning("rejected"),
    "Subscription Started": Meaning("subscription_started"),
    "Subscription Renewed": Meaning("subscription_renewed"),
    "Subscription Resumed": Meaning("subscription_renewed"),
    "Subscription Cancelled": Meaning("subscription_cancelled"),
    "Subscription Canceled": Meaning("subscription_cancelled"),
    "Subscription Ended": Meaning("subscription_ended"),
    "Subscription Expired": Meaning("subscription_ended"),
    "Survey Answered": Meaning("survey_answered"),
    "Complaint Opened": Meaning("complaint_opened"),
    "Complaint Resolved": Meaning("complaint_resolved"),
    "Review Submitted": Meaning("reviewed"),
    "Customer Referred": Meaning("referred"),
    "Points Earned": Meaning("points_earned"),
    "Points Redeemed": Meaning("points_redeemed"),
}
