//! One connection, told in steps: *listen, judge, bill, wait, tell, close*. Whatever happens, the slot is given back,
//! what was heard is on the report, and the other side may leave at any time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::time::timeout;

use super::super::books::{OpenSocket, Slot};
use super::super::desk::{self, Desk};
use super::super::fault::Fault;
use super::super::form::hex;
use super::super::line::Line;
use super::super::refusal::Refusal;
use super::super::settings::{Contract, Settings};
use super::super::transcript::Transcript;
use super::Admitted;
use super::close::{Farewell, farewell};
use super::fault::SocketFault;
use super::hearing::Hearing;
use super::messages::{Results, Said, Setting, results};
use super::query::Query;
use super::stream::Stream;

/// How long the other side is given to answer a close.
const PARTING: Duration = Duration::from_secs(5);

/// A connection and what belongs to it.
pub(super) struct Session {
    pub(super) desk: Arc<Desk>,
    pub(super) stream: Stream,
    pub(super) settings: Arc<Settings>,
    pub(super) line: Line,
    pub(super) query: Query,
}

/// Why a connection ends before its `done`.
pub(super) enum Stop {
    Refused(Refusal),
    /// 1000, as if all had been said.
    Unfinished,
    /// The client left.
    Gone,
    Cut,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

impl Session {
    pub(super) async fn run(self, mut socket: WebSocket, let_in: Result<Admitted, Refusal>) {
        let mut seen = self.desk.books.open_socket(self.stream.name());
        let closing = self.desk.closing.clone();
        let ended = tokio::select! {
            biased;
            () = closing.cancelled() => Err(Stop::Cut),
            ended = self.attend(&mut socket, let_in, &mut seen) => ended,
        };
        let farewell = match ended {
            Ok(()) => Some(("done".to_owned(), Farewell { code: 1000, words: String::new() })),
            Err(Stop::Unfinished) => {
                Some(("unfinished".to_owned(), Farewell { code: 1000, words: String::new() }))
            }
            Err(Stop::Refused(refusal)) => {
                self.desk.books.refused(self.stream.name(), &refusal);
                let voice_403 = self.settings.svd_limits_as_403.unwrap_or(self.contract() == Contract::A);
                let farewell = farewell(&refusal, self.contract(), self.stream, voice_403);
                Some((refusal.kind().to_owned(), farewell))
            }
            Err(Stop::Gone) => None,
            Err(Stop::Cut) => {
                seen.ended("cut", None);
                self.line.cut();
                // The switch takes effect at the next touch.
                let _ = timeout(PARTING, socket.recv()).await;
                return;
            }
        };
        let Some((cause, farewell)) = farewell else {
            return seen.ended("client_gone", None);
        };
        seen.ended(&cause, Some(farewell.code));
        // A client that sends on is listened to until it has seen the close; else a reset would overtake the words.
        let part = async {
            self.part(&mut socket, farewell).await;
            while let Some(Ok(_)) = socket.recv().await {}
        };
        tokio::select! {
            () = closing.cancelled() => {}
            _ = timeout(PARTING, part) => {}
        }
    }

    pub(super) fn contract(&self) -> Contract {
        self.settings.contract
    }

    async fn part(&self, socket: &mut WebSocket, Farewell { code, words }: Farewell) {
        let silent = self.settings.sockets.silent_closes;
        if !words.is_empty() && !silent {
            let _ = send(socket, Said::error(&words)).await;
        }
        let reason = if silent { "" } else { words.as_str() };
        // A control frame has room for 123 bytes.
        let short: String = reason.chars().take(100).filter(char::is_ascii).collect();
        let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: short.into() }))).await;
    }

    async fn attend(
        &self,
        socket: &mut WebSocket,
        let_in: Result<Admitted, Refusal>,
        seen: &mut OpenSocket,
    ) -> Result<(), Stop> {
        let Admitted { slot, fate } = let_in?;
        let mut hearing = Hearing::of(self.query.read(self.stream, self.contract())?);
        let mut listened = hearing.listen(self, socket, fate, seen).await;
        if listened.is_ok() && fate.midway {
            listened = Err(Refusal::Internal.into());
        }
        let Hearing { asked, track, live } = hearing;
        let raw = track.is_raw().then(|| track.head_hex());
        let heard = track.end(&self.desk.ear).await;
        let (sha256, name) = (hex(&heard.sha256), self.stream.name());
        seen.heard(&sha256, heard.bytes, heard.sound.as_ref().map_or(0, |sound| sound.duration_ms));
        if let Err(stop) = listened {
            // What was heard was worked on: it is paid for, whoever ended it.
            let paid = matches!(stop, Stop::Gone | Stop::Cut | Stop::Refused(Refusal::Internal));
            if let Some(sound) = heard.sound.filter(|_| paid) {
                self.bill(&sha256, sound.duration_ms);
            }
            return Err(stop);
        }
        let times = self.desk.books.received(name, &sha256, heard.bytes);
        let sound = heard.sound.ok_or(Refusal::Undecodable)?;
        let faults = &self.settings.faults;
        let fault = faults.after_body(name, &heard.sha256, times);
        let own = faults.on_socket(name, &heard.sha256, times);
        if own == Some(SocketFault::NoDone) || fault.is_some_and(|fault| fault != Fault::Stall) {
            self.desk.books.spoiled();
        }
        if let Some(refusal) = fault.and_then(desk::failure) {
            return Err(refusal.into());
        }
        self.bill(&sha256, sound.duration_ms);
        self.think(socket, fault, seen).await?;
        match fault {
            Some(Fault::ResetAfterBody) => return Err(Stop::Cut),
            Some(Fault::Empty200) => return Err(Stop::Unfinished),
            _ => {}
        }
        let setting = self.setting();
        let id = raw.filter(|_| self.stream == Stream::SyntheticVoice).unwrap_or(sha256);
        let transcript = Transcript::of(&id, sound.duration_ms);
        let basis = setting.basis(&asked, &id, &sound, &transcript);
        let disorder = own == Some(SocketFault::Disorder);
        let told = results(self.stream, &asked, &basis, &setting.sockets, live, disorder);
        tell(socket, told, slot, fault, own).await
    }

    /// The time it takes, and the gate.
    async fn think(
        &self,
        socket: &mut WebSocket,
        fault: Option<Fault>,
        seen: &mut OpenSocket,
    ) -> Result<(), Stop> {
        let latency = &self.settings.latency;
        let mut delay = latency.scaled(latency.fixed.max(latency.floor));
        if fault == Some(Fault::Stall) {
            delay += self.settings.faults.stall_for;
        }
        stay(socket, desk::pause(delay), seen).await?;
        stay(socket, self.desk.wait_at_the_gate(self.stream.name()), seen).await
    }

    fn bill(&self, sha256: &str, audio_ms: u64) {
        if audio_ms > 0 {
            self.desk.books.bill(self.stream.name(), sha256, audio_ms);
        }
    }

    pub(super) fn setting(&self) -> Setting {
        Setting { contract: self.contract(), shape: self.settings.shape, sockets: self.settings.sockets }
    }
}

/// Results, `done`, and what may go wrong with them.
async fn tell(
    socket: &mut WebSocket,
    told: Results,
    slot: Slot,
    fault: Option<Fault>,
    own: Option<SocketFault>,
) -> Result<(), Stop> {
    let cut = fault == Some(Fault::ResetInAnswer);
    let most = if cut { told.said.len() / 2 } else { usize::MAX };
    for said in told.said.into_iter().take(most) {
        send(socket, said).await?;
    }
    if cut {
        return Err(Stop::Cut);
    }
    // Whoever has seen `done` finds the slot free.
    drop(slot);
    if own == Some(SocketFault::NoDone) {
        return Err(Stop::Unfinished);
    }
    for said in told.done {
        match (fault, said) {
            (Some(Fault::TruncatedJson), Said::Text(done)) => {
                let text = done.to_string();
                let _ = socket.send(Message::text(&text[..text.len() / 2])).await;
                return Err(Stop::Unfinished);
            }
            (_, said) => send(socket, said).await?,
        }
    }
    if own == Some(SocketFault::LateBinary) {
        send(socket, Said::Audio(Bytes::from_static(b"late"))).await?;
    }
    Ok(())
}

/// Sends, or finds that nobody is there.
pub(super) async fn send(socket: &mut WebSocket, said: Said) -> Result<(), Stop> {
    let message = match said {
        Said::Text(value) => Message::text(value.to_string()),
        Said::Audio(bytes) => Message::Binary(bytes),
    };
    socket.send(message).await.map_err(|_| Stop::Gone)
}

/// Waits, unless the client leaves meanwhile. Audio that comes after the end is counted and not heard.
async fn stay(
    socket: &mut WebSocket,
    wait: impl Future<Output = ()>,
    seen: &mut OpenSocket,
) -> Result<(), Stop> {
    tokio::pin!(wait);
    loop {
        tokio::select! {
            biased;
            () = &mut wait => return Ok(()),
            message = socket.recv() => match message {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Err(Stop::Gone),
                Some(Ok(Message::Binary(_))) => seen.late_message(),
                Some(Ok(_)) => {}
            },
        }
    }
}
