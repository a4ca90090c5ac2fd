using System.Security.Cryptography;

namespace Marmot.Mls.Crypto;

/// <summary>
/// HKDF over the library's HMAC. References: RFC 5869. Own loop because <see cref="HKDF"/> on OpenSSL refuses info longer than 32 KiB,
/// and MLS puts the whole GroupContext there. Parameters: output at most 255 hash lengths.
/// </summary>
internal static class Hkdf
{
    public static int HashLength(HashAlgorithmName hash) => hash == HashAlgorithmName.SHA256 ? 32 : hash == HashAlgorithmName.SHA384 ? 48 : 64;

    public static byte[] Hash(HashAlgorithmName hash, ReadOnlySpan<byte> data) => CryptographicOperations.HashData(hash, data);

    public static byte[] Mac(HashAlgorithmName hash, ReadOnlySpan<byte> key, ReadOnlySpan<byte> data) => CryptographicOperations.HmacData(hash, key, data);

    public static byte[] Extract(HashAlgorithmName hash, ReadOnlySpan<byte> salt, ReadOnlySpan<byte> ikm) => Mac(hash, salt, ikm);

    public static byte[] Expand(HashAlgorithmName hash, ReadOnlySpan<byte> prk, ReadOnlySpan<byte> info, int length)
    {
        var hashLength = HashLength(hash);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, 255 * hashLength);
        var output = new byte[length];
        var block = new byte[hashLength + info.Length + 1];
        info.CopyTo(block.AsSpan(hashLength));
        for (int done = 0, counter = 1; done < length; counter++)
        {
            block[^1] = (byte)counter;
            // The first round has no previous block.
            var mac = Mac(hash, prk, counter == 1 ? block.AsSpan(hashLength) : block);
            var take = Math.Min(hashLength, length - done);
            mac.AsSpan(0, take).CopyTo(output.AsSpan(done));
            mac.CopyTo(block, 0);
            done += take;
            CryptographicOperations.ZeroMemory(mac);
        }
        CryptographicOperations.ZeroMemory(block);
        return output;
    }
}
