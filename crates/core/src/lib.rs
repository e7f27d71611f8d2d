//! The words that every other crate speaks: ids, access, dates, samples, estimates and units.
//!
//! Nothing here reads a file or a network, nor a clock but for the times in records of calls. Types that are written to
//! disk live here or in `lake::schema`, and nowhere else.

mod access;
mod call;
mod canary;
mod date;
mod estimate;
mod id;
mod language_model;
pub mod lm_eval;
mod local;
mod price;
mod provider;
mod run_log;
mod sample;
mod units;
mod usage;

pub use access::{Access, WeightsTerms};
pub use call::{
    Attempt, CALL_VERSION, CallLogHeader, CallRecord, CallState, Cost, ErrorClass, RequestSummary, ServedBy, Timing,
    TokenLogprob,
};
pub use canary::{CANARY_VERSION, CanaryCheck, CanaryFinding, CanaryReport, Observed};
pub use date::{DAYS_PER_MONTH, DateError, DatePrecision, ReleaseDate};
pub use date::{days_between, format_date, months_between, parse_date};
pub use estimate::Estimate;
pub use id::{BenchmarkId, ModelId};
pub use language_model::{
    Effort, Finish, Generation, GenerationRequest, LanguageModel, Loglikelihood, LoglikelihoodRequest, Message,
    ModelError, Progress, Prompt, Reasoning, Sampling,
};
pub use local::LOCAL;
pub use price::{PriceTier, TokenPrices};
pub use provider::{Dialect, EndpointFacts, Parameter, Provider, Quirk, ReasoningControl};
pub use run_log::{
    ContinuationScore, DatasetFacts, EventKind, LogLine, ModelAnswer, ModelFacts, Protocol, RUN_LOG_VERSION, Rescore,
    ResultRecord, RunEvent, RunHeader, SampleKey, SampleRecord, Score, ScoreFacts, TaskFacts,
};
pub use sample::{SampleRow, SampleState, SampleStream, SampleView, StateCounts, StreamError};
pub use units::Usd;
pub use usage::Usage;
