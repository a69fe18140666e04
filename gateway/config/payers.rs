//! Who may pay, and how much: the checked sections `[screening]`, `[limits]`, `[[alerts]]` and `[webhook]`.

use std::path::PathBuf;

use crate::screening::{Rules, ScreenerSettings};
use crate::webhook::Webhook;

/// The sections about payers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayersConfig {
    /// Lists as they were read, limits and alerts.
    pub rules: Rules,
    /// `[screening.http]`.
    pub screener: Option<ScreenerSettings>,
    /// `[webhook]`.
    pub webhook: Option<Webhook>,
    /// The files of the lists, which are read anew when they change.
    pub files: Vec<PathBuf>,
}
