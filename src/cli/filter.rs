//! Which revocations a command shows.

use clap::Args;

/// Filters, all of which a revocation has to pass.
#[derive(Args, Debug)]
pub(super) struct Filter {
    /// Only those of this issuer
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,

    /// Only those that match on this claim
    #[arg(long, value_name = "CLAIM")]
    claim: Option<String>,

    /// Only those that match this value
    #[arg(long, value_name = "VALUE")]
    value: Option<String>,

    /// Only those of this event source; `admin` is the admin API
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,

    /// Only those of this cause, such as user.deactivate
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,
}

impl Filter {
    /// Returns the parameters of a request.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let filters = [
            ("issuer", &self.issuer),
            ("claim", &self.claim),
            ("value", &self.value),
            ("source", &self.source),
            ("cause", &self.cause),
        ];
        let given = filters.into_iter();
        given
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect()
    }
}
