using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Encryption;

/// <summary>The NIP-44 key two parties share, for many messages between the same two; wiped on dispose.</summary>
/// <remarks>
/// Symmetric: both sides derive the same key. Kept in unmanaged memory, so the collector never copies it. Prints nothing of itself.
/// Not to be disposed while another thread uses it. A single message is cheaper with <see cref="Nip44.TryDeriveConversationKey"/> and a stack buffer.
/// </remarks>
public sealed unsafe class ConversationKey : IDisposable
{
    private byte* _key;

    private ConversationKey() => _key = (byte*)NativeMemory.AllocZeroed(Nip44.ConversationKeySize);

    /// <summary>Wipes the key when nobody disposed it.</summary>
    ~ConversationKey() => Release();

    /// <summary>The 32 bytes, valid until dispose.</summary>
    /// <exception cref="ObjectDisposedException">The key was disposed.</exception>
    public ReadOnlySpan<byte> Span
    {
        get
        {
            ObjectDisposedException.ThrowIf(_key is null, this);
            return new(_key, Nip44.ConversationKeySize);
        }
    }

    /// <summary>Derives the key; false when the peer's public key is not on the curve.</summary>
    public static bool TryDerive(SecretKey own, in Bytes32 peer, [NotNullWhen(true)] out ConversationKey? key)
    {
        var derived = new ConversationKey();
        if (Nip44.TryDeriveConversationKey(own, peer, new Span<byte>(derived._key, Nip44.ConversationKeySize)))
        {
            key = derived;
            return true;
        }

        derived.Dispose();
        key = null;
        return false;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>Names the type only.</summary>
    public override string ToString() => nameof(ConversationKey);

    private void Release()
    {
        if (_key is not null)
        {
            CryptographicOperations.ZeroMemory(new Span<byte>(_key, Nip44.ConversationKeySize));
            NativeMemory.Free(_key);
            _key = null;
        }
    }
}
