//! The whole API on loopback, so that a newcomer needs no key and a test no network. It is strict, tells what it
//! really saw, and never pretends to recognise speech. Its reading of the contract is its own: one misreading,
//! shared with the client, would pass every test. A request's way is in `desk`; a new way for a file to end is a
//! line in `script`.

mod answer;
mod audio;
mod books;
mod control;
mod conversation;
mod desk;
mod examination;
mod fault;
mod form;
mod length;
mod line;
mod millis;
mod model;
mod options;
mod payload;
mod platform;
mod presets;
mod refusal;
mod report;
mod samples;
mod script;
mod settings;
mod siblings;
mod socket;
mod transcript;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use control::Change;
pub use fault::Faults;
pub use platform::Platform;
pub use report::{ModelReport, Report, SocketReport};
pub use samples::{SAMPLES, Sample};
pub use script::{Ending, OUTCOMES, Outcome};
pub use settings::{Contract, Latency, ModelLimits, Settings, Shape};
pub use socket::{SocketFaults, Sockets};

use desk::Desk;
use line::{Door, Line};
use model::Model;
use refusal::Refusal;
use socket::Stream;

/// How long clients are given to take their last answers when the emulator stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running emulator. Dropping it stops it; [`Emulator::stop`] also waits for the end.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

impl Emulator {
    /// Listens and serves in the background.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(settings: Settings) -> io::Result<Emulator> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk::new(settings));
        let service = router(desk.clone()).into_make_service_with_connect_info::<Line>();
        let closing = desk.closing.clone();
        let server = tokio::spawn(async move {
            let served =
                axum::serve(Door(listener), service).with_graceful_shutdown(closing.cancelled_owned());
            // Serving ends without an error by its own account.
            let _ = served.await;
        });
        Ok(Emulator { address, desk, server })
    }

    /// Where it listens; the port is real even if none was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:8188`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has seen so far.
    pub fn report(&self) -> Report {
        self.desk.books.report()
    }

    /// Sets the report's counters to zero; requests in flight, hours and credits stay.
    pub fn reset(&self) {
        self.desk.books.reset();
    }

    /// Changes something from now on.
    pub fn control(&self, change: Change) {
        self.desk.apply(change);
    }

    /// Waits until what it has seen satisfies a condition, which is asked again after every change. With
    /// [`Change::Hold`], this lets requests meet at a known place.
    pub async fn when(&self, condition: impl Fn(&Report) -> bool) {
        self.desk.books.when(condition).await;
    }

    /// Cuts what is under way, lets finished answers out, and ends.
    pub async fn stop(mut self) {
        self.desk.closing.cancel();
        if tokio::time::timeout(FAREWELL, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.desk.closing.cancel();
    }
}

/// The names of all models, batch first.
pub fn models() -> Vec<&'static str> {
    Model::ALL.into_iter().map(Model::name).chain(Stream::ALL.into_iter().map(Stream::name)).collect()
}

fn router(desk: Arc<Desk>) -> Router {
    let mut router = Router::new();
    for model in Model::ALL {
        let handler = move |State(desk): State<Arc<Desk>>,
                            ConnectInfo(line): ConnectInfo<Line>,
                            request: Request| { desk.call(model, line, request) };
        router = router.route(&model.path(), post(handler));
    }
    for stream in Stream::ALL {
        let handler =
            move |State(desk): State<Arc<Desk>>, ConnectInfo(line): ConnectInfo<Line>, request: Request| {
                socket::open(desk, stream, line, request)
            };
        router = router.route(&stream.path(), get(handler));
    }
    for name in ["velma-2-batch", "velma-2-streaming"] {
        let handler = move |State(desk): State<Arc<Desk>>, headers: HeaderMap| async move {
            desk.list_presets(name, &headers)
        };
        router = router.route(&format!("/api/{name}/list-presets"), get(handler));
    }
    let lost = |refusal: Refusal| {
        move |State(desk): State<Arc<Desk>>| {
            let settings = desk.settings();
            let response = desk::refuse(&settings, settings.contract, Model::Transcription, &refusal);
            async move { response }
        }
    };
    router
        .merge(platform::routes())
        .route("/emulator/report", get(control::report).delete(control::reset))
        .route("/emulator/control", post(control::control))
        .fallback(lost(Refusal::NotFound))
        .method_not_allowed_fallback(lost(Refusal::WrongMethod))
        .layer(DefaultBodyLimit::disable())
        .with_state(desk)
}
