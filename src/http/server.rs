//! Starts the two listeners and ends them without losing what is in hand.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::web::{self, Data};
use actix_web::{App, HttpServer, dev};
use arc_swap::ArcSwap;
use tokio::time::{Instant, sleep, sleep_until};

use super::admin::{self, Access, Admin, Health};
use super::capacity::Counter;
use super::door;
use super::gateway::Gateway;
use super::ingress::{self, Ingress};
use super::socket::Socket;
use super::tls::Certificate;
use crate::config::{Loaded, tls};
use crate::replay::Replays;
use crate::telemetry::Metrics;
use crate::telemetry::recent::Recent;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address} ({setting}): {error}")]
    Bind {
        setting: &'static str,
        address: SocketAddr,
        error: io::Error,
    },
    #[error("ingress.tls: {0}")]
    Tls(#[from] rustls::Error),
    #[error("server: {0}")]
    Run(#[from] io::Error),
}

/// Both listeners, bound and not yet serving.
pub struct Server {
    ingress: dev::Server,
    admin: dev::Server,
    /// The admin routes once more, beside the journal; none without a journal.
    beside: Option<(dev::Server, Socket)>,
    ingress_address: SocketAddr,
    admin_address: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    in_flight: Arc<AtomicUsize>,
    draining: Arc<AtomicBool>,
    drain_delay: Duration,
    shutdown_timeout: Duration,
}

/// How long a head may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept: longer than a load balancer's usual minute, so that it closes first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Open connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 20_000;

impl Server {
    pub fn bind(
        loaded: &Loaded,
        gateway: Arc<ArcSwap<Gateway>>,
        metrics: Metrics,
        health: Arc<dyn Health>,
        replays: Arc<ArcSwap<Replays>>,
    ) -> Result<Self, ServerError> {
        let (in_flight, draining, recent) = (
            Arc::<AtomicUsize>::default(),
            Arc::<AtomicBool>::default(),
            Recent::default(),
        );
        let bytes = Counter::default();
        let shared = Data::new(Ingress {
            gateway,
            in_flight: in_flight.clone(),
            places: Arc::default(),
            bytes: bytes.clone(),
            draining: draining.clone(),
            recent: recent.clone(),
        });
        let settings = &loaded.config.ingress;
        let workers = settings
            .workers
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from))
            .max(1);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .default_service(web::to(ingress::deliver))
        })
        .workers(workers)
        .max_connections((MAX_CONNECTIONS / workers).max(1))
        .client_request_timeout(HEADER_TIMEOUT)
        .client_disconnect_timeout(Duration::from_secs(5))
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(settings.shutdown_timeout.get().as_secs())
        .on_connect(door::on_connect)
        .disable_signals();
        let listener = listen(settings.listen, "ingress.listen")?;
        let ingress_address = listener.local_addr()?;
        let certificate = loaded
            .certified
            .clone()
            .map(|certified| Arc::new(Certificate::new(certified)));
        let server = match &certificate {
            Some(certificate) => server.listen_rustls_0_23(
                listener,
                tls::server_config(certificate.clone(), loaded.client_authorities.clone())?,
            )?,
            None => server.listen(listener)?,
        };

        let admin_listener = listen(loaded.config.admin.listen, "admin.listen")?;
        let admin_address = admin_listener.local_addr()?;
        let state = Admin {
            metrics,
            health,
            draining: draining.clone(),
            access: match &loaded.admin_token {
                Some(token) => Access::Token(token.clone()),
                None => Access::Nobody,
            },
            recent,
            bytes,
            replays,
        };
        let beside = match &loaded.config.journal {
            Some(journal) => beside(&journal.socket(), &state)?,
            None => None,
        };
        let state = Data::new(state);
        let admin = HttpServer::new(move || App::new().app_data(state.clone()).configure(admin::routes))
            .workers(1)
            .shutdown_timeout(1)
            .disable_signals()
            .listen(admin_listener)?;
        Ok(Self {
            ingress: server.run(),
            admin: admin.run(),
            beside,
            ingress_address,
            admin_address,
            certificate,
            in_flight,
            draining,
            drain_delay: settings.drain_delay.get(),
            shutdown_timeout: settings.shutdown_timeout.get(),
        })
    }

    pub fn ingress_address(&self) -> SocketAddr {
        self.ingress_address
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The certificate to reload when its files change.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    /// Serves until `stop` ends, then: not ready, goes on accepting for `drain_delay` or until `stop` ends once more,
    /// finishes what is in hand, calls `end_workers`, closes keep-alive connections, and calls `close` (which flushes and
    /// spools).
    pub async fn run(
        self,
        mut stop: impl AsyncFnMut(),
        end_workers: impl AsyncFnOnce(),
        close: impl AsyncFnOnce(),
    ) -> Result<(), ServerError> {
        let (ingress, admin) = (self.ingress.handle(), self.admin.handle());
        let serving = tokio::spawn(self.ingress);
        let mut serving_others = vec![tokio::spawn(self.admin)];
        let mut others = vec![admin];
        let socket = self.beside.map(|(server, socket)| {
            others.push(server.handle());
            serving_others.push(tokio::spawn(server));
            socket
        });
        stop().await;

        tracing::info!(drain_delay = ?self.drain_delay, "stopping: not ready, still accepting");
        self.draining.store(true, Ordering::Release);
        tokio::select! {
            () = sleep(self.drain_delay) => {}
            () = stop() => tracing::info!("asked again: no longer waits for balancers"),
        }
        ingress.pause().await;
        // A task whose client has left is nobody's connection: actix would drop it, so it is waited for here.
        let until = Instant::now() + self.shutdown_timeout;
        while self.in_flight.load(Ordering::Acquire) > 0 && Instant::now() < until {
            sleep_until((Instant::now() + Duration::from_millis(10)).min(until)).await;
        }
        end_workers().await;
        ingress.stop(true).await;
        // Before the journal is let go: the next process may put a socket of its own there.
        drop(socket);
        close().await;
        for other in others {
            other.stop(true).await;
        }
        serving.await.map_err(io::Error::other)??;
        for task in serving_others {
            task.await.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

/// The admin routes on a socket, open to whoever can connect. Deliveries do not depend on it: where there can be none
/// (a path longer than about a hundred bytes, a file system without sockets), that is said, and the token remains.
fn beside(path: &Path, admin: &Admin) -> Result<Option<(dev::Server, Socket)>, ServerError> {
    let (socket, listener) = match Socket::bind(path) {
        Ok(bound) => bound,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "no socket for commands: replay and prune need `admin.token`, or a shorter `journal.path`");
            return Ok(None);
        }
    };
    let state = Data::new(Admin {
        access: Access::Everybody,
        ..admin.clone()
    });
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(admin::routes))
        .workers(1)
        .shutdown_timeout(1)
        .disable_signals()
        .listen_uds(listener)?;
    Ok(Some((server.run(), socket)))
}

fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ServerError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error| ServerError::Bind {
        setting,
        address,
        error,
    })
}
