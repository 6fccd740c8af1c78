//! The operators' listener: metrics and health for everybody who reaches it; what shows deliveries or changes something
//! only with the bearer token. The same routes are served on a Unix socket, where the file's mode is the credential.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

use super::capacity::Counter;
use super::operate;
use crate::replay::Replays;
use crate::secret::Secret;
use crate::telemetry::Metrics;
use crate::telemetry::recent::Recent;

/// Says what the gateway can do right now.
pub trait Health: Send + Sync {
    /// `Err` tells why nothing could be made durable.
    fn ready(&self) -> Result<(), String>;
    /// Brings gauges up to date before a scrape.
    fn refresh(&self, metrics: &Metrics);
}

#[derive(Clone)]
pub struct Admin {
    pub metrics: Metrics,
    pub health: Arc<dyn Health>,
    pub draining: Arc<AtomicBool>,
    pub access: Access,
    pub recent: Recent,
    /// What the ingress holds of bodies.
    pub bytes: Counter,
    pub replays: Arc<ArcSwap<Replays>>,
}

/// Who gets to see more than metrics and health.
#[derive(Clone)]
pub enum Access {
    Nobody,
    Token(Secret),
    /// Whoever could connect: it is the socket of the journal's owner.
    Everybody,
}

pub fn routes(service: &mut web::ServiceConfig) {
    service
        .route("/metrics", web::get().to(metrics))
        .route("/livez", web::get().to(livez))
        .route("/readyz", web::get().to(readyz))
        .route("/deliveries", web::get().to(deliveries))
        .route("/replay", web::post().to(operate::replay))
        .route("/prune", web::post().to(operate::prune))
        .route("/", web::get().to(page))
        .route("/inspector.css", web::get().to(style))
        .route("/inspector.js", web::get().to(script));
}

async fn metrics(admin: Data<Admin>) -> HttpResponse {
    admin.health.refresh(&admin.metrics);
    let bytes = admin.bytes.load(Ordering::Acquire);
    admin.metrics.body_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(admin.metrics.encode())
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

async fn readyz(admin: Data<Admin>) -> HttpResponse {
    if admin.draining.load(Ordering::Acquire) {
        return HttpResponse::ServiceUnavailable().body("draining\n");
    }
    match admin.health.ready() {
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(reason) => HttpResponse::ServiceUnavailable().body(format!("{reason}\n")),
    }
}

async fn deliveries(request: HttpRequest, admin: Data<Admin>) -> HttpResponse {
    if let Err(refused) = authorised(&request, &admin) {
        return refused;
    }
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(admin.recent.newest_first())
}

/// The page itself shows nothing: it asks for the token and fetches `/deliveries` with it.
async fn page() -> HttpResponse {
    asset("text/html; charset=utf-8", include_str!("inspector/index.html"))
}

async fn style() -> HttpResponse {
    asset("text/css; charset=utf-8", include_str!("inspector/inspector.css"))
}

async fn script() -> HttpResponse {
    asset("text/javascript; charset=utf-8", include_str!("inspector/inspector.js"))
}

fn asset(content_type: &str, text: &'static str) -> HttpResponse {
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(text)
}

#[expect(
    clippy::result_large_err,
    reason = "an answer, made once where the operator is refused"
)]
pub(super) fn authorised(request: &HttpRequest, admin: &Admin) -> Result<(), HttpResponse> {
    let token = match &admin.access {
        Access::Everybody => return Ok(()),
        Access::Token(token) => token,
        Access::Nobody => {
            return Err(HttpResponse::Forbidden()
                .body("this listener shows metrics and health only; set `admin.token` to open the rest\n"));
        }
    };
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    if bool::from(given.ct_eq(token.expose())) {
        Ok(())
    } else {
        Err(HttpResponse::Unauthorized()
            .insert_header((WWW_AUTHENTICATE, "Bearer"))
            .body("bearer token required\n"))
    }
}
