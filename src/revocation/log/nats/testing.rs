use super::config::Config;

impl Config {
    /// Returns the defaults, with these servers.
    #[must_use]
    pub fn on(servers: &[String]) -> Self {
        Self {
            servers: servers.to_vec(),
            ..Self::default()
        }
    }
}
