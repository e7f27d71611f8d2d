//! The gap: two frontiers on one board, how far apart they are, and how they move.
//!
//! Every number is computed on the fitted scores and again in every draw of the board, so that its interval carries the
//! uncertainty of the scores. The same seed gives the same report, byte for byte.

use thiserror::Error;
use time::{Date, Duration, Month};
use weighbridge_catalog::Catalog;
use weighbridge_core::{Access, DatePrecision, Estimate, WeightsTerms, format_date};
use weighbridge_stats::StatError;

use crate::board::{Board, BoardError, Contestant, Unit};
use crate::caveat::Caveat;
use crate::concentration::concentration;
use crate::frontier::{Frontier, Side, Step};
use crate::lag::{Lag, LagRule, measure};
use crate::price::{PriceRatio, price_ratio};
use crate::report::{FrontierReport, Frontiers, GapReport, Leader, Record, SourceNote};
use crate::summary::{NO_INTERVAL, mean, widen, with_interval, without_interval};

/// Why the gap cannot be given.
#[derive(Debug, Error)]
pub enum GapError {
    /// There is no board.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A side has no model.
    #[error("no {side} model with a release date by {as_of} among the {models} models on the {board}")]
    EmptySide {
        /// `open-weights` or `closed`.
        side: Access,
        /// Date asked for.
        as_of: String,
        /// What is scored.
        board: String,
        /// Models on the board.
        models: usize,
    },
    /// The date asked for is too far beyond the facts.
    #[error(
        "{as_of} is more than a year beyond the facts, which end on {facts}; ask for an earlier day or import newer facts"
    )]
    BeyondFacts {
        /// Date asked for.
        as_of: String,
        /// Day on which the facts end.
        facts: String,
    },
    /// The window holds no day with models on both sides.
    #[error("the window {from} to {to} has no day on which both sides had a model")]
    EmptyWindow {
        /// First day.
        from: String,
        /// Last day.
        to: String,
    },
    /// The first lag rule asked for finds nothing to compare.
    #[error("lag rule '{0}' finds no score that both sides have reached by then; ask for another rule")]
    NoLag(LagRule),
    /// Too few draws.
    #[error(transparent)]
    Stat(#[from] StatError),
}

/// What to weigh, and when.
#[derive(Clone, Debug)]
pub struct Question {
    /// The day of the question.
    pub as_of: Date,
    /// First and last day of the window that the lag and the mean gap are averaged over.
    pub window: (Date, Date),
    /// Rules for the lag, the first being the headline.
    pub lag_rules: Vec<LagRule>,
    /// The day on which the facts end.
    pub facts_end: Date,
}

/// The default window: from 1 January of the year of `as_of`, or 180 days before it where that is earlier.
#[must_use]
pub fn default_window(as_of: Date) -> (Date, Date) {
    let january = Date::from_calendar_date(as_of.year(), Month::January, 1).unwrap_or(as_of);
    (january.min(as_of.saturating_sub(Duration::days(180))), as_of)
}

/// Everything that is fixed while one board is weighed.
struct Scale<'a> {
    board: &'a Board,
    question: &'a Question,
    open: Side,
    closed: Side,
    /// Frontiers under the fitted scores.
    open_frontier: Frontier,
    closed_frontier: Frontier,
    /// Frontiers draw by draw.
    open_draws: Vec<Frontier>,
    closed_draws: Vec<Frontier>,
    /// The same with release dates drawn where sources disagree.
    dated_draws: Vec<(Frontier, Frontier)>,
}

/// Weighs the open against the closed models of a board.
///
/// # Errors
/// A side is empty by the day of the question, or the window holds nothing to compare.
pub fn weigh(catalog: &Catalog, board: &Board, question: &Question) -> Result<GapReport, GapError> {
    if question.as_of > question.facts_end.saturating_add(Duration::days(FARTHEST_DAYS)) {
        let (as_of, facts) = (format_date(question.as_of), format_date(question.facts_end));
        return Err(GapError::BeyondFacts { as_of, facts });
    }
    let scale = Scale::new(board, question)?;
    let today = scale.today();
    let gap_draws: Vec<f64> = scale.draws().map(|(o, c)| on(c, today) - on(o, today)).collect();
    let gap_now = on(&scale.closed_frontier, today) - on(&scale.open_frontier, today);
    let gap = scale.estimate(gap_now, &gap_draws)?;
    let ahead: Vec<f64> = gap_draws.iter().map(|&g| f64::from(u8::from(g <= 0.0))).collect();
    let open_leads = scale.share(&ahead);
    let gap_over_window = scale.window_gap()?;
    let (mut lags, mut without_lag) = (Vec::new(), Vec::new());
    for &rule in &question.lag_rules {
        match scale.lag(rule)? {
            Some(lag) => lags.push(lag),
            None => without_lag.push(rule),
        }
    }
    let headline = question.lag_rules.first().copied().unwrap_or(LagRule::Propagated);
    let lag = lags.iter().find(|lag| lag.rule == headline).cloned().ok_or(GapError::NoLag(headline))?;
    let unrestricted = board.side(Access::OpenWeights, question.as_of, |c| c.terms == Some(WeightsTerms::Unrestricted));
    let frontiers = Frontiers {
        open: scale.frontier(&scale.open, &scale.open_frontier, &scale.open_draws)?,
        closed: scale.frontier(&scale.closed, &scale.closed_frontier, &scale.closed_draws)?,
        unrestricted: scale.optional_frontier(&unrestricted)?,
    };
    let PriceRatio { ratio, matches, unpriced, dates, sources } =
        price_ratio(catalog, board, &scale.open, &scale.closed, question.as_of);
    let mut report = GapReport {
        as_of: format_date(question.as_of),
        facts_end: format_date(question.facts_end),
        sentence: String::new(),
        board: board.title.clone(),
        unit: board.unit.as_str(),
        gap,
        gap_over_window,
        open_leads,
        window: [format_date(question.window.0), format_date(question.window.1)],
        lag,
        lags,
        frontiers,
        price_ratio: ratio,
        price_matches: matches,
        caveats: Vec::new(),
        sources: source_notes(catalog, board, &sources),
    };
    report.sentence = report.in_words();
    report.caveats = scale.caveats(&report, unpriced, dates);
    let unavailable = without_lag.iter().map(|rule| Caveat::LagUnavailable { rule: rule.to_string() });
    report.caveats.extend(unavailable);
    Ok(report)
}

impl<'a> Scale<'a> {
    fn new(board: &'a Board, question: &'a Question) -> Result<Self, GapError> {
        let side = |access| {
            let side = board.side(access, question.as_of, |_| true);
            if side.entrants().is_empty() {
                return Err(GapError::EmptySide {
                    side: access,
                    as_of: format_date(question.as_of),
                    board: board.title.clone(),
                    models: board.contestants.len(),
                });
            }
            Ok(side)
        };
        let (open, closed) = (side(Access::OpenWeights)?, side(Access::Closed)?);
        Ok(Self {
            open_frontier: open.frontier(&board.scores),
            closed_frontier: closed.frontier(&board.scores),
            open_draws: board.draws.rows().map(|row| open.frontier(row)).collect(),
            closed_draws: board.draws.rows().map(|row| closed.frontier(row)).collect(),
            dated_draws: dated_draws(board, &open, &closed),
            board,
            question,
            open,
            closed,
        })
    }

    fn today(&self) -> i32 {
        self.question.as_of.to_julian_day()
    }

    fn draws(&self) -> impl Iterator<Item = (&Frontier, &Frontier)> {
        self.open_draws.iter().zip(&self.closed_draws)
    }

    /// `value` with the interval of its draws, or without one where the board has no uncertainty.
    fn estimate(&self, value: f64, draws: &[f64]) -> Result<Estimate, StatError> {
        if self.board.has_uncertainty() {
            with_interval(value, draws, &self.board.method)
        } else {
            Ok(without_interval(value, self.board.contestants.len(), NO_INTERVAL))
        }
    }

    /// A share of draws: the draws are the whole of it, so it has no interval of its own. `None` where the board has no
    /// uncertainty, for then the draws are all alike and say nothing.
    fn share(&self, indicators: &[f64]) -> Option<Estimate> {
        let value = indicators.iter().sum::<f64>() / indicators.len().max(1) as f64;
        let method = format!("share of draws; {}", self.board.method);
        self.board.has_uncertainty().then(|| without_interval(value, indicators.len(), &method))
    }

    fn window_gap(&self) -> Result<Estimate, GapError> {
        let (from, to) = (self.question.window.0.to_julian_day(), self.question.window.1.to_julian_day());
        let window_mean = |o: &Frontier, c: &Frontier| crate::lag::since::window_mean(o, c, from, to).map(|w| w.gap);
        let value = window_mean(&self.open_frontier, &self.closed_frontier).ok_or_else(|| self.empty_window())?;
        if !self.board.has_uncertainty() {
            return Ok(self.estimate(value, &[])?);
        }
        let draws: Vec<f64> = self.draws().filter_map(|(o, c)| window_mean(o, c)).collect();
        let dated: Vec<f64> = self.dated_draws.iter().filter_map(|(o, c)| window_mean(o, c)).collect();
        let method = format!("mean over the days of the window in each draw; {}", self.board.method);
        Ok(widen(mean(&draws, &method)?, &dated)?)
    }

    fn lag(&self, rule: LagRule) -> Result<Option<Lag>, StatError> {
        let window = (self.question.window.0.to_julian_day(), self.question.window.1.to_julian_day());
        let sides = measure::Sides {
            open: &self.open,
            closed: &self.closed,
            open_frontier: &self.open_frontier,
            closed_frontier: &self.closed_frontier,
            open_draws: &self.open_draws,
            closed_draws: &self.closed_draws,
            dated_draws: &self.dated_draws,
        };
        measure::lag(rule, self.board, &sides, window, self.today())
    }

    fn empty_window(&self) -> GapError {
        GapError::EmptyWindow { from: format_date(self.question.window.0), to: format_date(self.question.window.1) }
    }

    fn optional_frontier(&self, side: &Side) -> Result<Option<FrontierReport>, GapError> {
        if side.entrants().is_empty() {
            return Ok(None);
        }
        let draws: Vec<_> = self.board.draws.rows().map(|row| side.frontier(row)).collect();
        self.frontier(side, &side.frontier(&self.board.scores), &draws).map(Some)
    }

    fn frontier(&self, side: &Side, fitted: &Frontier, draws: &[Frontier]) -> Result<FrontierReport, GapError> {
        let today = self.today();
        let empty = || GapError::EmptySide {
            side: side.entrants().first().map_or(Access::Unknown, |e| self.board.contestants[e.column].access),
            as_of: format_date(self.question.as_of),
            board: self.board.title.clone(),
            models: self.board.contestants.len(),
        };
        let top = fitted.on(today).ok_or_else(empty)?;
        let held: Vec<f64> =
            draws.iter().map(|f| f64::from(u8::from(f.on(today).is_some_and(|s| s.column == top.column)))).collect();
        let before = today - 365;
        let rise = |f: &Frontier| Some(f.on(today)?.score - f.on(before)?.score);
        let rises: Vec<f64> = draws.iter().filter_map(rise).collect();
        let per_year = rise(fitted).map(|value| self.estimate(value, &rises)).transpose()?;
        let window = (self.question.window.0.to_julian_day(), self.question.window.1.to_julian_day());
        let uncertain = self.board.has_uncertainty();
        let all: Vec<&Frontier> = if uncertain { draws.iter().collect() } else { vec![fitted] };
        let by = |key: fn(&Contestant) -> &str| {
            let found =
                concentration(&all, window, &|column| key(&self.board.contestants[column]), &self.board.method)?;
            Ok::<_, StatError>(if uncertain { found } else { found.without_intervals(NO_INTERVAL) })
        };
        Ok(FrontierReport {
            leader: self.leader(top, &held)?,
            per_year,
            labs: by(|c| &c.lab)?,
            countries: by(|c| &c.country)?,
            records: fitted.steps().iter().map(|s| self.record(s)).collect::<Result<_, _>>()?,
        })
    }

    fn leader(&self, top: Step, held: &[f64]) -> Result<Leader, StatError> {
        let c = &self.board.contestants[top.column];
        Ok(Leader {
            id: c.id.to_string(),
            name: c.name.clone(),
            lab: c.lab.clone(),
            country: c.country.clone(),
            released: c.released.map_or_else(|| "unknown".into(), |r| r.to_string()),
            access: c.access,
            terms: c.terms,
            license: c.license.clone(),
            score: self.estimate(top.score, &self.board.draws.of(top.column))?,
            stands: self.share(held),
        })
    }

    fn record(&self, step: &Step) -> Result<Record, StatError> {
        let c = &self.board.contestants[step.column];
        Ok(Record {
            date: Date::from_julian_day(step.day).map_or_else(|_| "unknown".into(), format_date),
            id: c.id.to_string(),
            name: c.name.clone(),
            lab: c.lab.clone(),
            score: self.estimate(step.score, &self.board.draws.of(step.column))?,
        })
    }

    fn caveats(&self, report: &GapReport, unpriced: Vec<String>, dates: Option<(String, String)>) -> Vec<Caveat> {
        let (board, question) = (self.board, self.question);
        let mut caveats = Vec::new();
        let facts = format_date(question.facts_end);
        if question.as_of > question.facts_end {
            caveats.push(Caveat::BeyondFacts { as_of: report.as_of.clone(), facts });
        } else if question.as_of < question.facts_end {
            caveats.push(Caveat::Hindsight { as_of: report.as_of.clone(), facts });
        }
        caveats.push(Caveat::BestOfMany { open: self.open.entrants().len(), closed: self.closed.entrants().len() });
        caveats.extend(disagreement(&report.lags));
        for lag in report.lags.iter().filter(|lag| lag.censored) {
            caveats.push(Caveat::CensoredLag { rule: lag.rule.to_string(), share: lag.censored_share });
        }
        let leaders = [&self.open_frontier, &self.closed_frontier].map(|f| f.on(self.today()));
        let leaders = leaders.iter().flatten().map(|s| &board.contestants[s.column]);
        if board.unit == Unit::IndexPoints {
            for c in leaders.clone().filter(|c| c.scores < FEW_BENCHMARKS) {
                caveats.push(Caveat::FewBenchmarks { model: c.name.clone(), n: c.scores });
            }
        } else if board.sources.len() > 1 {
            caveats.push(Caveat::SourceMix { benchmark: board.title.clone(), sources: board.sources.len() });
        }
        let records = report.frontiers.open.records.iter().chain(&report.frontiers.closed.records);
        let on_record: Vec<&Contestant> =
            records.filter_map(|r| board.contestants.iter().find(|c| c.id.as_str() == r.id)).collect();
        let names = |wanted: &dyn Fn(&Contestant) -> bool| -> Vec<String> {
            on_record.iter().filter(|c| wanted(c)).map(|c| c.name.clone()).collect()
        };
        let imprecise = names(&|c| c.released.is_some_and(|r| r.precision != DatePrecision::Day));
        if !imprecise.is_empty() {
            caveats.push(Caveat::ImpreciseDate { models: imprecise });
        }
        let disputed = names(&|c| !c.other_dates.is_empty());
        if !disputed.is_empty() {
            caveats.push(Caveat::DateDisagreement { models: disputed });
        }
        let mut unknown: Vec<_> =
            board.contestants.iter().zip(&board.scores).filter(|(c, _)| c.access == Access::Unknown).collect();
        unknown.sort_by(|a, b| b.1.total_cmp(a.1));
        if !unknown.is_empty() {
            caveats.push(Caveat::UnknownAccess { models: unknown.iter().map(|(c, _)| c.name.clone()).collect() });
        }
        if !board.without_n.is_empty() {
            let (models, of) = (board.without_n.len(), board.contestants.len());
            caveats.push(Caveat::UnknownPrecision { models, of, usual: board.usual_n });
        }
        if !unpriced.is_empty() {
            caveats.push(Caveat::PriceUnknown { models: unpriced });
        }
        if let Some((oldest, newest)) = dates.filter(|(oldest, newest)| oldest != newest) {
            caveats.push(Caveat::PriceDates { oldest, newest });
        }
        if board.draws.failed > 0 {
            let draws = board.draws.len() + board.draws.failed;
            caveats.push(Caveat::FailedDraws { failed: board.draws.failed, draws });
        }
        if board.draws.len() < FEW_DRAWS {
            caveats.push(Caveat::FewDraws { draws: board.draws.len() });
        }
        caveats
    }
}

/// Below this many scores a model's place on the index is called out. The median model has eight.
const FEW_BENCHMARKS: usize = 8;
/// Days beyond the facts for which the question is still answered, with a caveat.
const FARTHEST_DAYS: i64 = 366;
/// Below this many draws the ends of a 90 % interval rest on fewer than ten draws each.
const FEW_DRAWS: usize = 200;
/// Lag rules further apart than this many months are called out.
const DISAGREEMENT_MONTHS: f64 = 1.0;

/// Both frontiers in every draw with release dates drawn too; empty where no two sources disagree about a date.
fn dated_draws(board: &Board, open: &Side, closed: &Side) -> Vec<(Frontier, Frontier)> {
    let disputed = |side: &Side| side.entrants().iter().any(|e| !board.contestants[e.column].other_dates.is_empty());
    if !disputed(open) && !disputed(closed) {
        return Vec::new();
    }
    let draw = |(k, row)| (board.redated(open, k).frontier(row), board.redated(closed, k).frontier(row));
    (0..).zip(board.draws.rows()).map(draw).collect()
}

fn on(frontier: &Frontier, day: i32) -> f64 {
    frontier.on(day).map_or(f64::NEG_INFINITY, |step| step.score)
}

fn disagreement(lags: &[Lag]) -> Option<Caveat> {
    let by_value = |a: &&Lag, b: &&Lag| a.months.value.total_cmp(&b.months.value);
    let (low, high) = (lags.iter().min_by(by_value)?, lags.iter().max_by(by_value)?);
    (high.months.value - low.months.value > DISAGREEMENT_MONTHS).then(|| Caveat::LagRulesDisagree {
        low: low.months.value,
        low_rule: low.rule.to_string(),
        high: high.months.value,
        high_rule: high.rule.to_string(),
    })
}

fn source_notes(catalog: &Catalog, board: &Board, prices: &[(String, usize)]) -> Vec<SourceNote> {
    let mut used: Vec<(&String, usize)> = board.sources.iter().map(|(id, &n)| (id, n)).collect();
    used.extend(prices.iter().map(|(id, n)| (id, *n)));
    used.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let note = |(id, used): (&String, usize)| {
        let source = catalog.source(id);
        SourceNote {
            id: id.clone(),
            title: source.map_or_else(|| id.clone(), |s| s.title.clone()),
            url: source.and_then(|s| s.url.clone()),
            license: source.and_then(|s| s.license.clone()),
            retrieved: source.and_then(|s| s.retrieved).map(format_date),
            used,
        }
    };
    used.into_iter().map(note).collect()
}
