//! What a checkpoint is, from its headers alone: shape, parameters, stored forms, tokenizer, license, memory.
//!
//! Every number is read from the file or counted from its tensors; what the file does not say stays unknown. Nothing is
//! allocated by a number that the file claims, and no weight is read unless the hash of the content is asked for.

mod license;
mod parts;
mod settings;
mod tokenizer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::architecture::Architecture;
use crate::family;
use crate::files::{Checkpoint, Dtype, FileError, Layout};

pub use license::License;
pub use parts::{Part, PartCount};
pub use settings::RopeFacts;
pub use tokenizer::{Template, TokenizerFacts};

use settings::Settings;

/// Bytes of a number in the cache of keys and values: F32.
const CACHE_BYTES: u64 = 4;
/// A head wider than this is a lie: the largest known have 512 numbers.
const WIDEST_HEAD: u64 = 1 << 16;

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Tokens for which the cache is reckoned; `None` takes the model's own context.
    pub context: Option<u64>,
    /// Texts for which it is reckoned.
    pub batch: u64,
    /// Whether every byte is read for the hash of the content.
    pub hash: bool,
}

/// What a checkpoint is.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// What was looked at.
    pub path: PathBuf,
    /// "GGUF v3" or "safetensors".
    pub format: String,
    /// The files with weights.
    pub files: Vec<FileFacts>,
    /// The name that the checkpoint gives itself.
    pub name: Option<String>,
    /// The architecture as the checkpoint names it.
    pub architecture: Option<String>,
    /// The family of decoders that runs it; `None` where none does.
    pub family: Option<String>,
    /// Why no decoder runs it.
    pub does_not_load: Option<String>,
    /// Layers.
    pub layers: Option<u64>,
    /// Numbers that stand for a token between layers.
    pub hidden: Option<u64>,
    /// Query heads.
    pub heads: Option<u64>,
    /// Key-value heads.
    pub kv_heads: Option<u64>,
    /// Numbers in a head.
    pub head_dim: Option<u64>,
    /// Width of the MLP.
    pub intermediate: Option<u64>,
    /// Tokens that have an embedding.
    pub vocabulary: Option<u64>,
    /// Longest text in tokens.
    pub context: Option<u64>,
    /// Rotary positions; `None` where the checkpoint names none.
    pub rope: Option<RopeFacts>,
    /// Layers that see only the last tokens.
    pub sliding_window: Option<WindowFacts>,
    /// Parameters by part.
    pub parameters: Vec<PartCount>,
    /// All parameters, without buffers.
    pub parameters_total: u64,
    /// Whether the output head is the token embedding again; `None` where the checkpoint has neither.
    pub tied_head: Option<bool>,
    /// Tensors by stored form, the largest share of bytes first.
    pub stored: Vec<Stored>,
    /// Bits of an average parameter.
    pub bits_per_weight: Option<f64>,
    /// The tokenizer.
    pub tokenizer: TokenizerFacts,
    /// The chat templates: the one that is used comes first.
    pub templates: Vec<Template>,
    /// The license as declared; `None` where none is.
    pub license: Option<License>,
    /// Memory needed.
    pub memory: Memory,
    /// What else the checkpoint says of itself; long values are shortened.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// What should not be there.
    pub warnings: Vec<String>,
}

/// A file with weights.
#[derive(Clone, Debug, Serialize)]
pub struct FileFacts {
    /// Name without folder.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// BLAKE3 of the bytes before the first tensor's data.
    pub header_blake3: String,
    /// BLAKE3 of the whole file, where it was asked for.
    pub content_blake3: Option<String>,
}

/// Layers that see only the last tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WindowFacts {
    /// Tokens that such a layer sees.
    pub tokens: u64,
    /// How many layers are such; `None` where no decoder knows the architecture.
    pub layers: Option<u64>,
}

/// Tensors of one stored form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stored {
    /// The form, such as F32 or Q4_K.
    pub dtype: String,
    /// Tensors.
    pub tensors: u64,
    /// Numbers in them.
    pub parameters: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bits of one number.
    pub bits_per_weight: f64,
}

/// Memory that the model needs, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Tokens of each text.
    pub context: Option<u64>,
    /// Texts at once.
    pub batch: u64,
    /// Weights as they are stored.
    pub weights: u64,
    /// Weights as F32.
    pub weights_f32: u64,
    /// Cache of keys and values: `2 * kv_heads * head_dim * 4 bytes * batch * context`, summed over the layers, where a
    /// layer with a sliding window holds at most the window. Without a decoder that knows the layers, all hold the whole
    /// context. `None` where a size is unknown or the product is larger than any memory.
    pub cache: Option<u64>,
}

/// Looks at a checkpoint.
///
/// # Errors
/// It cannot be read as one: see [`FileError`].
pub fn inspect(path: &Path, options: &Options) -> Result<Inspection, FileError> {
    let checkpoint = Checkpoint::open(path)?;
    let settings = Settings::of(&checkpoint);
    let mut warnings = checkpoint.warnings().to_vec();
    let (decoder, does_not_load) = match decoder(&checkpoint, &settings) {
        Ok(architecture) => (Some(architecture), None),
        Err(why) => (None, Some(why)),
    };
    let known = |own: Option<u64>, of: fn(&Architecture) -> usize| {
        decoder.as_ref().map(|a| of(a) as u64).filter(|n| *n > 0).or(own)
    };
    let parts = parts::count(&checkpoint);
    let context = known(settings.context, |a| a.context);
    let layers = known(settings.layers, |a| a.layers.len());
    let kv_heads = known(settings.kv_heads.or(settings.heads), |a| a.kv_heads);
    let head_dim = known(settings.head_dim, |a| a.head_dim);
    let wanted = options.context.or(context);
    if let (Some(wanted), Some(most)) = (options.context, context)
        && wanted > most
    {
        warnings.push(format!("{wanted} tokens are more than the {most} that the model was made for"));
    }
    let windows = decoder.as_ref().map(|a| a.layers.iter().map(|l| l.window.map(|w| w as u64)).collect::<Vec<_>>());
    let cache = wanted.zip(kv_heads).zip(head_dim).and_then(|((context, kv_heads), head_dim)| {
        let slots = match &windows {
            // Each layer of the architecture has its tensors, so this list is no longer than the file.
            Some(windows) => windows
                .iter()
                .map(|window| window.map_or(context, |w| w.min(context)))
                .try_fold(0_u64, u64::checked_add)?,
            None => layers?.checked_mul(context)?,
        };
        [2, kv_heads, head_dim, CACHE_BYTES, options.batch].iter().try_fold(slots, |product, n| product.checked_mul(*n))
    });
    let stored = stored(&checkpoint);
    let weights = stored.iter().map(|s| s.bytes).sum();
    let numbers: u64 = stored.iter().map(|s| s.parameters).sum();
    let tokenizer = TokenizerFacts::of(&checkpoint, &mut warnings);
    let templates = tokenizer::templates(&checkpoint);
    Ok(Inspection {
        path: path.to_owned(),
        format: match checkpoint.layout() {
            Layout::Gguf(header) => format!("GGUF v{}", header.version),
            Layout::Safetensors { .. } => "safetensors".to_owned(),
        },
        files: files(&checkpoint, options.hash),
        name: settings.name.clone(),
        architecture: settings.architecture.clone(),
        family: decoder.as_ref().map(|a| a.family.clone()),
        does_not_load,
        layers,
        hidden: known(settings.hidden, |a| a.hidden),
        heads: known(settings.heads, |a| a.heads),
        kv_heads,
        head_dim,
        intermediate: known(settings.intermediate, |a| a.intermediate),
        vocabulary: parts.vocabulary.or(settings.vocabulary).or(tokenizer.tokens),
        context,
        sliding_window: sliding_window(windows.as_deref(), &settings),
        parameters_total: parts.total(),
        parameters: parts.counts,
        tied_head: (parts.has_head || parts.vocabulary.is_some()).then_some(!parts.has_head),
        bits_per_weight: bits(weights, numbers),
        stored,
        tokenizer,
        templates,
        license: license::declared(&checkpoint),
        memory: Memory {
            context: wanted,
            batch: options.batch,
            weights,
            weights_f32: numbers.saturating_mul(4),
            cache,
        },
        metadata: settings::metadata(&checkpoint),
        rope: settings.rope,
        warnings,
    })
}

/// The architecture as the decoder sees it, or why there is none.
fn decoder(checkpoint: &Checkpoint, settings: &Settings) -> Result<Architecture, String> {
    // The family makes a list of layers and of frequencies: what cannot be true is not tried.
    let tensors = checkpoint.tensors().count() as u64;
    if let Some(layers) = settings.layers.filter(|layers| *layers > tensors) {
        return Err(format!("it claims {layers} layers and has {tensors} tensors"));
    }
    if let Some(head_dim) = settings.head_dim.filter(|head_dim| *head_dim > WIDEST_HEAD) {
        return Err(format!("it claims heads of {head_dim} numbers"));
    }
    family::architecture(checkpoint).map_err(|error| error.to_string())
}

fn sliding_window(windows: Option<&[Option<u64>]>, settings: &Settings) -> Option<WindowFacts> {
    match windows {
        Some(windows) => {
            let sliding: Vec<u64> = windows.iter().flatten().copied().collect();
            sliding.first().map(|tokens| WindowFacts { tokens: *tokens, layers: Some(sliding.len() as u64) })
        }
        None => settings.window.map(|tokens| WindowFacts { tokens, layers: None }),
    }
}

fn stored(checkpoint: &Checkpoint) -> Vec<Stored> {
    let mut forms: BTreeMap<Dtype, (u64, u64, u64)> = BTreeMap::new();
    for tensor in checkpoint.tensors() {
        let (tensors, parameters, bytes) = forms.entry(tensor.dtype).or_default();
        *tensors += 1;
        *parameters = parameters.saturating_add(tensor.elements() as u64);
        *bytes += tensor.bytes as u64;
    }
    let form = |(dtype, (tensors, parameters, bytes)): (Dtype, (u64, u64, u64))| {
        let (elements, size) = dtype.block();
        let bits_per_weight = 8.0 * size as f64 / elements as f64;
        Stored { dtype: dtype.to_string(), tensors, parameters, bytes, bits_per_weight }
    };
    let mut stored: Vec<Stored> = forms.into_iter().map(form).collect();
    stored.sort_by_key(|s| std::cmp::Reverse(s.bytes));
    stored
}

fn bits(bytes: u64, numbers: u64) -> Option<f64> {
    (numbers > 0).then(|| 8.0 * bytes as f64 / numbers as f64)
}

fn files(checkpoint: &Checkpoint, hash: bool) -> Vec<FileFacts> {
    let starts: Vec<usize> = match checkpoint.layout() {
        Layout::Gguf(header) => vec![header.data_start],
        Layout::Safetensors { headers, .. } => headers.iter().map(|header| header.data_start).collect(),
    };
    let files = checkpoint.files().iter().zip(checkpoint.bytes()).zip(starts);
    let facts = |((path, bytes), start): ((&PathBuf, &[u8]), usize)| FileFacts {
        name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        bytes: bytes.len() as u64,
        header_blake3: blake3::hash(&bytes[..start.min(bytes.len())]).to_string(),
        content_blake3: hash.then(|| blake3::hash(bytes).to_string()),
    };
    files.map(facts).collect()
}
