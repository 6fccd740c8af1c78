//! Asks the broker what a configuration needs to know, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};

use super::settings::Declare;
use super::{Outlet, Shared, connection, publisher};
use crate::destination::{Feed, Finding};

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn probe(shared: Arc<Shared>, outlet: Arc<Outlet>, feeds: Vec<Feed>) -> Vec<Finding> {
    let name = &*outlet.name;
    let mut findings = Vec::new();
    let connection = match connection::connect(name, &shared.uri, &shared.tls).await {
        Ok(connection) => connection,
        Err(error) => {
            let remedy = "check the URL's host, port, user, password and virtual host, and tls";
            return vec![Finding::problem(name, format!("cannot connect: {error}"), remedy)];
        }
    };
    findings.push(Finding::ok(
        name,
        format!(
            "connected to {}:{}",
            shared.uri.authority.host, shared.uri.authority.port
        ),
    ));
    let exchange = &outlet.target.exchange;
    let place = if exchange.is_empty() {
        format!("{name}: default exchange")
    } else {
        format!("{name}: exchange {exchange}")
    };
    match tokio::time::timeout(PATIENCE, publisher::open(&connection, &outlet.target)).await {
        Ok(Ok(channel)) => {
            findings.push(Finding::ok(&place, "is there"));
            if exchange.is_empty() {
                // There, a routing key names a queue.
                for queue in queues(&outlet, &feeds) {
                    let place = format!("{name}: queue {queue}");
                    let passive = QueueDeclareOptions {
                        passive: true,
                        ..QueueDeclareOptions::default()
                    };
                    let Ok(short) = ShortString::try_new(queue.as_str()) else {
                        continue;
                    };
                    match channel.queue_declare(short, passive, FieldTable::default()).await {
                        Ok(_) => findings.push(Finding::ok(place, "is there")),
                        Err(error) => {
                            findings.push(Finding::problem(place, error.to_string(), "declare the queue"));
                            // The failure closed the channel.
                            break;
                        }
                    }
                }
            }
        }
        Ok(Err(error)) => {
            let remedy = match outlet.target.declare {
                Declare::No => "declare the exchange, or set `declare: true`",
                Declare::Topic | Declare::FanoutWithQueue => {
                    "grant the user Configure on it, or, if it was declared otherwise, set `declare: false`"
                }
            };
            findings.push(Finding::problem(&place, error.to_string(), remedy));
        }
        Err(_) => findings.push(Finding::problem(&place, "no answer in time", "try again")),
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), connection.close(200, "probed".into())).await;
    findings
}

fn queues(outlet: &Outlet, feeds: &[Feed]) -> Vec<String> {
    let template = &outlet.target.routing_key;
    match template.constant() {
        Some(constant) => vec![constant.to_owned()],
        None => feeds
            .iter()
            .filter_map(|feed| template.render_for(&feed.source, &feed.provider))
            .collect(),
    }
}
