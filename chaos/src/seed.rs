//! One seed, one plan: every purpose draws from a generator of its own.
//!
//! Were there one generator for all, a client that happens to run a step earlier would change what
//! every other one does. The algorithm is named and pinned, so that a seed means the same after an
//! update of the libraries.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator of `purpose`, and of its part `index`, under `seed`.
#[must_use]
pub fn generator(seed: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("rookery chaos: a generator per purpose");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::generator;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut first = generator(7, "plan", 0);
        assert_eq!(first.next_u64(), generator(7, "plan", 0).next_u64());
        assert_ne!(first.next_u64(), generator(7, "plan", 1).next_u64());
        assert_ne!(
            generator(7, "plan", 0).next_u64(),
            generator(7, "mail", 0).next_u64()
        );
        assert_ne!(
            generator(7, "plan", 0).next_u64(),
            generator(8, "plan", 0).next_u64()
        );
    }
}
