//! What may be spent: the month's cap of an endpoint and the budget of all, held against what is billed, what may have been,
//! and what is being sent.

use sqlx::SqliteConnection;

use super::limits;
use super::rows::{Columns, int};
use crate::queue::{Budget, Cap, ClaimRequest, QueueError, Reached};
use crate::task::{Amount, BudgetLimit, Money, Timestamp};

/// What stands against a claim's caps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// Of the month: what may be billed, and what is spoken for.
    month: Option<(u64, u64)>,
    /// Of the budget.
    budget: Option<(BudgetLimit, Amount)>,
    /// Requests under way anywhere.
    in_flight: u32,
}

impl Caps {
    /// As things stand before a claim. Asks only for what the claim is held against.
    pub(super) async fn of(c: &mut SqliteConnection, wish: &ClaimRequest) -> Result<Caps, QueueError> {
        let month = match wish.cap_ms {
            Some(cap) => Some((cap, limits::spoken_for(&mut *c, wish.endpoint, wish.now.month()).await?)),
            None => None,
        };
        if wish.budget.is_none() {
            return Ok(Caps { month, budget: None, in_flight: 0 });
        }
        let spent = open(&mut *c).await?.map_or(Amount::default(), |budget| budget.spent);
        let row = sqlx::query(
            "SELECT ifnull(sum(reserved_ms), 0) AS ms, ifnull(sum(reserved_cost), 0) AS cost, count(*) AS requests
             FROM (SELECT reserved_ms, reserved_cost FROM slot WHERE task_id IS NOT NULL
                   UNION ALL SELECT reserved_ms, reserved_cost FROM deck)",
        )
        .fetch_one(c)
        .await?;
        let under_way = Amount { audio_ms: row.count("ms")?, cost: Money(row.count("cost")?) };
        Ok(Caps { month, budget: Some((wish.budget, spent + under_way)), in_flight: row.count("requests")? })
    }

    /// Adds what is being taken.
    pub(super) fn add(&mut self, amount: Amount) {
        if let Some((_, used)) = &mut self.month {
            *used = used.saturating_add(amount.audio_ms);
        }
        if let Some((_, used)) = &mut self.budget {
            *used = *used + amount;
        }
        self.in_flight += 1;
    }

    /// What so much more would cross. `busy`: requests under way on this endpoint.
    pub(super) fn crossed_by(&self, amount: Amount, busy: u32) -> Option<Reached> {
        let month = self.month.is_some_and(|(cap, used)| used.saturating_add(amount.audio_ms) > cap);
        let budget = self.budget.is_some_and(|(limit, used)| limit.is_crossed_by(used + amount));
        match (month, budget) {
            (true, _) => Some(Reached { cap: Cap::Month, in_flight: busy }),
            (_, true) => Some(Reached { cap: Cap::Budget, in_flight: self.in_flight }),
            _ => None,
        }
    }
}

/// The budget that is counted at present.
pub(super) async fn open(c: &mut SqliteConnection) -> Result<Option<Budget>, QueueError> {
    let row = sqlx::query(
        "SELECT begun_at, limit_ms, limit_cost,
                (SELECT ifnull(sum(billed_ms + unknown_ms), 0) FROM ledger) - base_ms AS ms,
                (SELECT ifnull(sum(cost + unknown_cost), 0) FROM ledger) - base_cost AS cost
         FROM budget WHERE ended_at IS NULL",
    )
    .fetch_optional(c)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Budget {
        begun_at: row.time("begun_at")?,
        limit: BudgetLimit {
            audio_ms: row.count_or_null("limit_ms")?,
            cost: row.count_or_null("limit_cost")?.map(Money),
        },
        spent: Amount { audio_ms: row.count("ms")?, cost: Money(row.count("cost")?) },
    }))
}

/// Goes on with the open budget at this limit, or begins one at nothing.
pub(super) async fn set(
    c: &mut SqliteConnection,
    limit: BudgetLimit,
    anew: bool,
    now: Timestamp,
) -> Result<(), QueueError> {
    let (ms, cost) = (limit.audio_ms.map(int), limit.cost.map(|cost| int(cost.0)));
    if anew {
        sqlx::query("UPDATE budget SET ended_at = ? WHERE ended_at IS NULL")
            .bind(now.0)
            .execute(&mut *c)
            .await?;
    }
    let goes_on = sqlx::query("UPDATE budget SET limit_ms = ?, limit_cost = ? WHERE ended_at IS NULL")
        .bind(ms)
        .bind(cost)
        .execute(&mut *c)
        .await?;
    if goes_on.rows_affected() == 0 {
        sqlx::query(
            "INSERT INTO budget (begun_at, base_ms, base_cost, limit_ms, limit_cost)
             SELECT ?, ifnull(sum(billed_ms + unknown_ms), 0), ifnull(sum(cost + unknown_cost), 0), ?, ? FROM ledger",
        )
        .bind(now.0)
        .bind(ms)
        .bind(cost)
        .execute(c)
        .await?;
    }
    Ok(())
}
