//! Servers on runtimes of their own: when one is dropped its connections break too, as they do
//! when a server dies, and a blocked test does not block it.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A future that runs on a thread of its own until this is dropped.
pub(crate) struct Hosted(Option<Runtime>);

impl Hosted {
    pub(crate) fn start(future: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(future);
        Self(Some(runtime))
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waits until every socket is closed, which an async caller may not do itself.
            let _ = std::thread::spawn(move || drop(runtime)).join();
        }
    }
}

/// An HTTP server.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    _hosted: Hosted,
}

impl Served {
    /// Serves on any free port.
    pub(crate) fn start(router: Router) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), router)
    }

    pub(crate) fn start_on(address: SocketAddr, router: Router) -> Self {
        let listener = std::net::TcpListener::bind(address)
            .unwrap_or_else(|error| panic!("{address} cannot be bound: {error}"));
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let hosted = Hosted::start(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            _hosted: hosted,
        }
    }
}
