using System.Runtime.CompilerServices;
using System.Security.Cryptography;

namespace Marmot.Mls.Crypto;

/// <summary>
/// The one owner of secret bytes: keys, path secrets, secrets of an epoch. They live in an array that the garbage collector never moves, so that no copy is
/// left behind, and are wiped by <see cref="Dispose"/>. Reading them afterwards is a bug and throws. What nobody disposes is wiped once the garbage collector
/// finds that nothing points to the bytes any more, neither this object nor a span. Not thread-safe.
/// </summary>
internal sealed class SecretBytes : IDisposable
{
    private static readonly ConditionalWeakTable<byte[], Wiper> Dropped = [];

    private byte[]? _bytes;

    public SecretBytes(int length) => _bytes = GC.AllocateArray<byte>(length, pinned: true);

    /// <summary>No bytes, and never any: what a deleted secret is after a restart.</summary>
    public static SecretBytes Wiped()
    {
        var wiped = new SecretBytes(0);
        wiped.Dispose();
        return wiped;
    }

    public static SecretBytes Copy(ReadOnlySpan<byte> bytes)
    {
        var copy = new SecretBytes(bytes.Length);
        bytes.CopyTo(copy.Span);
        return copy;
    }

    public static SecretBytes Random(int length)
    {
        var random = new SecretBytes(length);
        RandomNumberGenerator.Fill(random.Span);
        return random;
    }

    public int Length => Span.Length;

    public bool IsWiped => _bytes is null;

    public Span<byte> Span => _bytes ?? throw new ObjectDisposedException(nameof(SecretBytes));

    public static implicit operator ReadOnlySpan<byte>(SecretBytes secret) => secret.Span;

    public SecretBytes Clone() => Copy(Span);

    /// <summary>A copy in an ordinary array: only for what is given to the caller of the library.</summary>
    public byte[] ToArray() => Span.ToArray();

    /// <summary>Prints no secret.</summary>
    public override string ToString() => nameof(SecretBytes);

    public void Dispose()
    {
        CryptographicOperations.ZeroMemory(_bytes);
        _bytes = null;
        GC.SuppressFinalize(this);
    }

    /// <summary>
    /// This object is dead to the collector as soon as its last span was taken, and native code may still read the bytes: wiping them here would make it
    /// compute with zeros. So the bytes get an attendant of their own, which the table keeps alive for as long as anything points to them.
    /// </summary>
    ~SecretBytes()
    {
        if (_bytes is { } bytes) Dropped.Add(bytes, new Wiper(bytes));
    }

    private sealed class Wiper(byte[] bytes)
    {
        ~Wiper() => CryptographicOperations.ZeroMemory(bytes);
    }
}

/// <summary>A private key in wiped memory and its public key.</summary>
internal sealed class SecretKeyPair(SecretBytes privateKey, byte[] publicKey) : IDisposable
{
    public SecretBytes PrivateKey { get; } = privateKey;
    public byte[] PublicKey { get; } = publicKey;

    /// <summary>For callers of the library; this one is wiped.</summary>
    public KeyPair Release()
    {
        var pair = new KeyPair(PrivateKey.ToArray(), PublicKey);
        Dispose();
        return pair;
    }

    public void Dispose() => PrivateKey.Dispose();
}
