using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Keys;

/// <summary>A Nostr secret key in wiped, unmanaged memory: signs (BIP-340) and derives shared secrets (NIP-44, MIP-05).</summary>
/// <remarks>Thread-safe until disposed. Prints nothing of itself. The bytes are zeroed on dispose and by the finalizer.</remarks>
public sealed unsafe class SecretKey : SafeHandle
{
    private const int AllocationSize = Secp256k1.SecretKeySize + Secp256k1.KeypairSize;

#pragma warning disable CA1419 // No marshaller makes this handle: keys come from the factories below.
    private SecretKey() : base(0, ownsHandle: true) => SetHandle((nint)NativeMemory.AllocZeroed(AllocationSize));
#pragma warning restore CA1419

    /// <summary>The x-only public key.</summary>
    public Bytes32 PublicKey { get; private set; }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    private Span<byte> Secret => new((void*)handle, Secp256k1.SecretKeySize);

    private Span<byte> Keypair => new((byte*)handle + Secp256k1.SecretKeySize, Secp256k1.KeypairSize);

    /// <summary>A new random key.</summary>
    public static SecretKey Generate()
    {
        Span<byte> bytes = stackalloc byte[Secp256k1.SecretKeySize];
        SecretKey? key;
        do
        {
            RandomNumberGenerator.Fill(bytes);
        }
        while (!TryCreate(bytes, out key)); // zero or not below the order: once in 2^127

        CryptographicOperations.ZeroMemory(bytes);
        return key;
    }

    /// <summary>Takes 32 bytes; false when they are zero or not below the group order. The caller wipes its own copy.</summary>
    public static bool TryCreate(ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out SecretKey? key)
    {
        key = null;
        if (bytes.Length != Secp256k1.SecretKeySize)
        {
            return false;
        }

        var created = new SecretKey();
        if (!Secp256k1.TryCreateKeypair(bytes, created.Keypair))
        {
            created.Dispose();
            return false;
        }

        bytes.CopyTo(created.Secret);
        Bytes32 publicKey = default;
        Secp256k1.GetPublicKey(created.Keypair, publicKey);
        created.PublicKey = publicKey;
        key = created;
        return true;
    }

    /// <summary>Reads an nsec (NIP-19) or 64 lower-case hex digits; false for anything else. The caller owns the text.</summary>
    public static bool TryParse(ReadOnlySpan<char> nsecOrHex, [NotNullWhen(true)] out SecretKey? key)
    {
        key = null;
        Span<byte> bytes = stackalloc byte[Secp256k1.SecretKeySize];
        Span<byte> utf8 = stackalloc byte[Bytes32.HexSize];
        var isHex = nsecOrHex.Length == Bytes32.HexSize
            && System.Text.Ascii.FromUtf16(nsecOrHex, utf8, out _) == System.Buffers.OperationStatus.Done
            && Hex.TryDecodeLower(utf8, bytes);
        var read = (isHex || Nip19.TryDecodeSecretKey(nsecOrHex, bytes)) && TryCreate(bytes, out key);
        CryptographicOperations.ZeroMemory(bytes);
        CryptographicOperations.ZeroMemory(utf8);
        return read;
    }

    /// <summary>Signs a 32-byte message (BIP-340, fresh auxiliary randomness) into 64 bytes.</summary>
    /// <exception cref="ObjectDisposedException">The key was disposed.</exception>
    public void Sign(ReadOnlySpan<byte> message, Span<byte> signature)
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
            Secp256k1.Sign(Keypair, message, signature);
        }
        finally
        {
            if (held)
            {
                DangerousRelease();
            }
        }
    }

    /// <summary>Writes the unhashed x coordinate (32 bytes) of the ECDH point with an x-only key lifted to even y; the caller wipes it.</summary>
    /// <returns>False when the public key is not on the curve.</returns>
    /// <exception cref="ObjectDisposedException">The key was disposed.</exception>
    public bool TryDeriveSharedX(in Bytes32 publicKey, Span<byte> sharedX)
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
            return Secp256k1.TryDeriveSharedX(Secret, publicKey.Span, sharedX);
        }
        finally
        {
            if (held)
            {
                DangerousRelease();
            }
        }
    }

    /// <summary>Copies the 32 secret bytes out, for writing a key file; the caller wipes them.</summary>
    /// <exception cref="ObjectDisposedException">The key was disposed.</exception>
    public void CopyTo(Span<byte> destination)
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
            Secret.CopyTo(destination);
        }
        finally
        {
            if (held)
            {
                DangerousRelease();
            }
        }
    }

    /// <summary>Names the type only.</summary>
    public override string ToString() => nameof(SecretKey);

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        CryptographicOperations.ZeroMemory(new Span<byte>((void*)handle, AllocationSize));
        NativeMemory.Free((void*)handle);
        return true;
    }
}
