//! The platform: a TLS server on loopback with an authority of its own, that serves what a test tells it to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use hooksluice::keys::{Hosts, Target};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::{Notify, Semaphore};

/// An authority of the tests' own, and `localhost`'s certificate from it.
pub struct Authority {
    folder: tempfile::TempDir,
}

pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -subj '/CN=authority of the tests' -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3 -extfile names -out server.pem";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(&folder)
        .output()
        .expect("sh runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Authority { folder }
});

impl Authority {
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self) -> ServerConfig {
        let chain = vec![CertificateDer::from_pem_file(self.file("server.pem")).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        config
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a server")
    }
}

/// What one path serves.
#[derive(Clone)]
pub struct Page {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    asked: Arc<AtomicUsize>,
    /// Permits to answer; `None`: at once.
    gate: Option<Arc<Semaphore>>,
    /// Told of every request before it is answered.
    pub arrived: Arc<Notify>,
}

impl Page {
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[derive(Clone, Default)]
pub struct Pages(Arc<Mutex<HashMap<String, Page>>>);

pub struct Platform {
    pub port: u16,
    pages: Pages,
    handle: actix_web::dev::ServerHandle,
}

async fn answer(request: HttpRequest, pages: web::Data<Pages>) -> HttpResponse {
    if request.path() == "/trickle" {
        // A byte now and then, for as long as somebody listens.
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            Some((Ok::<_, actix_web::Error>(web::Bytes::from_static(b" ")), ()))
        });
        return HttpResponse::Ok().streaming(drops);
    }
    let page = pages.0.lock().unwrap().get(request.path()).cloned();
    let Some(page) = page else {
        return HttpResponse::NotFound().finish();
    };
    page.asked.fetch_add(1, Ordering::SeqCst);
    page.arrived.notify_one();
    if let Some(gate) = &page.gate {
        gate.acquire().await.expect("open").forget();
    }
    let page = pages.0.lock().unwrap()[request.path()].clone();
    let mut response = HttpResponse::build(StatusCode::from_u16(page.status).expect("a status"));
    for (name, value) in page.headers {
        response.insert_header((name, value));
    }
    response.body(page.body)
}

impl Platform {
    pub fn start() -> Self {
        let pages = Pages::default();
        let data = web::Data::new(pages.clone());
        let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(answer)))
            .workers(1)
            .disable_signals()
            .bind_rustls_0_23("127.0.0.1:0", AUTHORITY.server())
            .expect("a port");
        let port = server.addrs()[0].port();
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { port, pages, handle }
    }

    pub fn page(&self, path: &str, body: impl Into<String>) -> Page {
        self.set(path, 200, vec![], body, None)
    }

    pub fn set(
        &self,
        path: &str,
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: impl Into<String>,
        gate: Option<Arc<Semaphore>>,
    ) -> Page {
        let mut pages = self.pages.0.lock().unwrap();
        let known = pages.get(path);
        let page = Page {
            status,
            headers,
            body: body.into(),
            asked: known.map(|page| page.asked.clone()).unwrap_or_default(),
            gate,
            arrived: known.map(|page| page.arrived.clone()).unwrap_or_default(),
        };
        pages.insert(path.to_owned(), page.clone());
        page
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    pub fn target(&self, path: &str) -> Target {
        Hosts::new(&[format!("localhost:{}", self.port)], None)
            .check(&self.url(path))
            .expect("allowed")
    }

    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}
