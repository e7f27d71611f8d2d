//! Running a model on plain token ids: logits, and hidden states by layer.

use crate::cache::Path;
use crate::error::EngineError;
use crate::forward::Forward;
use crate::kernel::Segment;

fn check(decoder: &dyn Forward, ids: &[u32]) -> Result<(), EngineError> {
    let (vocabulary, context) = (decoder.architecture().vocabulary, decoder.architecture().context);
    if ids.is_empty() {
        return Err(EngineError::EmptyRequest { request: 1 });
    }
    if ids.len() > context {
        return Err(EngineError::TooLong { tokens: ids.len(), context });
    }
    match ids.iter().find(|&&id| id as usize >= vocabulary) {
        Some(&token) => Err(EngineError::TokenOutside { token, vocabulary }),
        None => Ok(()),
    }
}

/// Logits of the token after the last one, one a token of the vocabulary.
///
/// # Errors
/// There is no token, there are more than the context, one is not in the vocabulary, or the logits are not finite.
pub fn last_logits(decoder: &dyn Forward, ids: &[u32]) -> Result<Vec<f32>, EngineError> {
    let hidden = hidden(decoder, ids, None)?;
    let width = decoder.architecture().hidden;
    let logits = decoder.logits(&hidden[hidden.len() - width..])?;
    if logits.iter().all(|x| x.is_finite()) { Ok(logits) } else { Err(EngineError::NotFinite) }
}

/// Hidden states of every token after each layer, `hidden` numbers a token: the embedding first, then one matrix a
/// layer, before the final norm.
///
/// # Errors
/// As for [`last_logits`].
pub fn hidden_states(decoder: &dyn Forward, ids: &[u32]) -> Result<Vec<Vec<f32>>, EngineError> {
    let mut layers = Vec::new();
    hidden(decoder, ids, Some(&mut |_, states| layers.push(states.to_vec())))?;
    Ok(layers)
}

fn hidden(
    decoder: &dyn Forward,
    ids: &[u32],
    tap: Option<&mut crate::decoder::HiddenTap<'_>>,
) -> Result<Vec<f32>, EngineError> {
    check(decoder, ids)?;
    let mut cache = decoder.cache(ids.len())?;
    let mut path = Path::default();
    cache.extend(&mut path, ids.len())?;
    let segment = Segment { row: 0, len: ids.len(), runs: path.runs(), position: 0 };
    decoder.forward(&mut cache, ids, &[segment], tap)
}

/// Decodes `steps` tokens greedily for `streams` copies of a text together, for measurements.
///
/// # Errors
/// As for [`last_logits`].
pub fn decode_steps(decoder: &dyn Forward, ids: &[u32], streams: usize, steps: usize) -> Result<(), EngineError> {
    check(decoder, ids)?;
    let mut cache = decoder.cache(streams * (ids.len() + steps + crate::cache::PAGE))?;
    let mut paths: Vec<Path> = (0..streams).map(|_| Path::default()).collect();
    let mut tokens: Vec<u32> = ids.iter().copied().cycle().take(ids.len() * streams).collect();
    let (width, vocabulary) = (decoder.architecture().hidden, decoder.architecture().vocabulary);
    for _ in 0..=steps {
        let each = tokens.len() / streams;
        for path in &mut paths {
            cache.extend(path, each)?;
        }
        let segments: Vec<Segment<'_>> = paths
            .iter()
            .enumerate()
            .map(|(i, path)| Segment { row: i * each, len: each, runs: path.runs(), position: path.len() - each })
            .collect();
        let hidden = decoder.forward(&mut cache, &tokens, &segments, None)?;
        let last: Vec<f32> =
            hidden.chunks_exact(each * width).flat_map(|stream| &stream[(each - 1) * width..]).copied().collect();
        let logits = decoder.logits(&last)?;
        tokens = logits.chunks_exact(vocabulary).map(|row| crate::kernel::math::distribution(row).argmax).collect();
    }
    Ok(())
}
