//! A TCP proxy in front of a broker, to cut, refuse and freeze connections.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Open,
    /// Bytes wait on either side; connections stay.
    Frozen,
    /// Answers no longer come back, while what is sent still arrives.
    Mute,
    /// Connections are cut, new ones end at once.
    Cut,
}

pub struct Proxy {
    pub address: SocketAddr,
    link: Arc<watch::Sender<Link>>,
}

impl Proxy {
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let link = Arc::new(watch::channel(Link::Open).0);
        let target = target.to_owned();
        let links = link.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *links.borrow() == Link::Cut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&target).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pump(from_client, to_server, links.subscribe(), &[Link::Frozen]));
                tokio::spawn(pump(
                    from_server,
                    to_client,
                    links.subscribe(),
                    &[Link::Frozen, Link::Mute],
                ));
            }
        });
        Self { address, link }
    }

    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut link: watch::Receiver<Link>, held: &'static [Link]) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = *link.borrow_and_update();
        if now == Link::Cut {
            return;
        }
        if held.contains(&now) {
            if link.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(length) => if to.write_all(&buffer[..length]).await.is_err() { return },
            },
            _ = link.changed() => {}
        }
    }
}
