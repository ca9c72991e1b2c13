"""What an operator can set: the sections and their defaults, and where values come from.

It must not know who uses a setting. Invariants: settings are frozen once loaded; a key that nobody knows is refused
with the nearest name; a key that has no effect in this version is refused or named in `Settings.notes`, never silently
inert.
"""

from rustqueue.settings.cluster import ClusterSettings, ClusterTls
from rustqueue.settings.loading import (
    CONSENT_FLAG,
    Loaded,
    SettingsError,
    load_settings,
    load_with_sources,
    setting_keys,
)
from rustqueue.settings.sections import (
    AuthSettings,
    CompatSettings,
    JobsSettings,
    KubernetesSettings,
    LimitsSettings,
    LoggingSettings,
    MetricsSettings,
    QueuesSettings,
    RetentionTimes,
    ServerSettings,
    Settings,
    StorageSettings,
    TlsFiles,
    TlsSettings,
    TracingSettings,
    WebhooksSettings,
)

__all__ = [
    "CONSENT_FLAG",
    "AuthSettings",
    "ClusterSettings",
    "ClusterTls",
    "CompatSettings",
    "JobsSettings",
    "KubernetesSettings",
    "LimitsSettings",
    "Loaded",
    "LoggingSettings",
    "MetricsSettings",
    "QueuesSettings",
    "RetentionTimes",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "StorageSettings",
    "TlsFiles",
    "TlsSettings",
    "TracingSettings",
    "WebhooksSettings",
    "load_settings",
    "load_with_sources",
    "setting_keys",
]
