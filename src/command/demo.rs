//! demo
use super::console::Console;
use super::exit::Exit;
use anyhow::Result;
/// x
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {}
pub(super) async fn demo(_args: &DemoArgs, _console: &Console) -> Result<Exit> {
    Ok(Exit::Done)
}
