#include "masking/shamir.h"

#include "base/error.h"

namespace fedlora {

uint8_t gf256_product(uint8_t a, uint8_t b) {
  uint32_t product = 0, power = a;  // power = a·x^bit
  for (int bit = 0; bit < 8; ++bit) {
    product ^= power & (0u - ((static_cast<uint32_t>(b) >> bit) & 1u));
    power = (power << 1) ^ (0x11Bu & (0u - (power >> 7)));
  }
  return static_cast<uint8_t>(product);
}

namespace {
/// a⁻¹ = a²⁵⁴; 0 for 0.
uint8_t inverse(uint8_t a) {
  uint8_t result = 1, power = a;
  for (int bit = 1; bit < 8; ++bit) {  // 254 = 2 + 4 + … + 128
    power = gf256_product(power, power);
    result = gf256_product(result, power);
  }
  return result;
}
}  // namespace

std::vector<uint8_t> shamir_share(std::span<const uint8_t> secret, std::span<const uint8_t> coefficients, int x) {
  if (x < 1 || x > 255) fail(Code::E_ARGUMENT, "a share's place is %d, expected 1 to 255", x);
  if (secret.empty()) fail(Code::E_SHAPE, "the secret to share is empty");
  const size_t length = secret.size();
  if (coefficients.size() % length != 0)
    fail(Code::E_SHAPE, "coefficients of %zu bytes for a secret of %zu: expected a whole number of times as many", coefficients.size(),
         length);
  std::vector<uint8_t> share(length, 0);
  for (size_t m = coefficients.size() / length; m-- > 0;)  // Horner's rule
    for (size_t j = 0; j < length; ++j) share[j] = gf256_product(share[j] ^ coefficients[m * length + j], static_cast<uint8_t>(x));
  for (size_t j = 0; j < length; ++j) share[j] ^= secret[j];
  return share;
}

std::vector<uint8_t> shamir_join(std::span<const uint8_t> places, std::span<const uint8_t> shares, int x) {
  if (places.empty()) fail(Code::E_ARGUMENT, "no share to join");
  if (x < 0 || x > 255) fail(Code::E_ARGUMENT, "shares are joined at %d, expected 0 to 255", x);
  if (shares.empty() || shares.size() % places.size() != 0)
    fail(Code::E_SHAPE, "%zu shares of %zu bytes together: expected shares of one length", places.size(), shares.size());
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] == 0) fail(Code::E_ARGUMENT, "share %zu has the place 0, which is the secret's", i);
    for (size_t k = 0; k < i; ++k)
      if (places[k] == places[i]) fail(Code::E_ARGUMENT, "shares %zu and %zu have the same place %d", k, i, places[i]);
  }
  const size_t length = shares.size() / places.size();
  std::vector<uint8_t> joined(length, 0);
  for (size_t i = 0; i < places.size(); ++i) {
    uint8_t factor = 1;  // Lagrange's: Π (x ⊕ x_k)/(x_i ⊕ x_k)
    for (size_t k = 0; k < places.size(); ++k)
      if (k != i) factor = gf256_product(factor, gf256_product(static_cast<uint8_t>(x) ^ places[k], inverse(places[i] ^ places[k])));
    for (size_t j = 0; j < length; ++j) joined[j] ^= gf256_product(shares[i * length + j], factor);
  }
  return joined;
}

}  // namespace fedlora
