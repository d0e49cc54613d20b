use super::address::Server;
use super::config::Config;

impl Config {
    /// Returns the defaults, with one server.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self {
            server: Some(server.clone()),
            ..Self::default()
        }
    }
}
