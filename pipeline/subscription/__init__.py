"""A subscription as declared and as stored, and the bounded readings of it."""

from pipeline.subscription.declared import Subscription, check_start, subscription_from
from pipeline.subscription.endpoint import (
    AUTH_SECRETS,
    Auth,
    BasicAuth,
    BearerAuth,
    Endpoint,
    MtlsAuth,
    NoAuth,
    OAuth2Auth,
    without_secrets,
)
from pipeline.subscription.owned_headers import is_credential
from pipeline.subscription.policy import Batch, RetryPolicy, Signing
from pipeline.subscription.stored import (
    SealedSecrets,
    StoredRun,
    StoredSubscription,
    secret_context,
    stored_run,
    stored_subscription,
)

__all__ = [
    "AUTH_SECRETS",
    "Auth",
    "BasicAuth",
    "Batch",
    "BearerAuth",
    "Endpoint",
    "MtlsAuth",
    "NoAuth",
    "OAuth2Auth",
    "RetryPolicy",
    "SealedSecrets",
    "Signing",
    "StoredRun",
    "StoredSubscription",
    "Subscription",
    "check_start",
    "is_credential",
    "secret_context",
    "stored_run",
    "stored_subscription",
    "subscription_from",
    "without_secrets",
]
