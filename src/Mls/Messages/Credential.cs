using Marmot.Mls.Codec;

namespace Marmot.Mls.Messages;

/// <summary>Credential type numbers (RFC 9420, 17.5).</summary>
public static class CredentialType
{
    /// <summary>A bare identity.</summary>
    public const ushort Basic = 1;

    /// <summary>A certificate chain; decoded and carried, never judged.</summary>
    public const ushort X509 = 2;
}

/// <summary>
/// A credential (RFC 9420, 5.3). For <see cref="CredentialType.Basic"/> the content is the identity; for X.509 the encoded chain;
/// for unknown types one opaque vector, so that re-encoding is exact.
/// </summary>
/// <param name="Type">The credential type.</param>
/// <param name="Content">The content; owned by this value, do not change.</param>
public sealed record Credential(ushort Type, byte[] Content) : IWireValue
{
    /// <summary>A basic credential with this identity.</summary>
    public static Credential Basic(ReadOnlySpan<byte> identity) => new(CredentialType.Basic, identity.ToArray());

    internal static Credential Read(ref TlsReader reader) => new(reader.ReadUInt16(), reader.ReadBytes());

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16(Type);
        writer.WriteOpaque(Content);
    }

    /// <summary>Same type and same content.</summary>
    public bool SameAs(Credential other) => Type == other.Type && Content.AsSpan().SequenceEqual(other.Content);
}
