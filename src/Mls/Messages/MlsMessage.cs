using Marmot.Mls.Codec;
using Marmot.Mls.Framing;

namespace Marmot.Mls.Messages;

/// <summary>PublicMessage (RFC 9420, 6.2).</summary>
internal sealed record PublicMessage(AuthenticatedContent Content, byte[]? MembershipTag) : IWireValue
{
    public static PublicMessage Read(ref TlsReader reader)
    {
        var framed = FramedContent.Read(ref reader);
        var content = AuthenticatedContent.ReadAuth(ref reader, WireFormat.PublicMessage, framed);
        return new PublicMessage(content, framed.Sender.Type == SenderType.Member ? reader.ReadBytes() : null);
    }

    public void Write(TlsWriter writer)
    {
        Content.Content.Write(writer);
        Content.WriteAuth(writer);
        if (Content.Content.Sender.Type == SenderType.Member) writer.WriteOpaque(MembershipTag);
    }
}

/// <summary>PrivateMessage (RFC 9420, 6.3).</summary>
internal sealed record PrivateMessage(byte[] GroupId, ulong Epoch, ContentType ContentType, byte[] AuthenticatedData, byte[] EncryptedSenderData,
    byte[] Ciphertext) : IWireValue
{
    public static PrivateMessage Read(ref TlsReader reader)
    {
        var message = new PrivateMessage(reader.ReadBytes(), reader.ReadUInt64(), (ContentType)reader.ReadByte(), reader.ReadBytes(), reader.ReadBytes(),
            reader.ReadBytes());
        MlsException.ThrowIf(message.ContentType is < ContentType.Application or > ContentType.Commit, MlsError.Malformed);
        return message;
    }

    public void Write(TlsWriter writer)
    {
        writer.WriteOpaque(GroupId);
        writer.WriteUInt64(Epoch);
        writer.WriteByte((byte)ContentType);
        writer.WriteOpaque(AuthenticatedData);
        writer.WriteOpaque(EncryptedSenderData);
        writer.WriteOpaque(Ciphertext);
    }
}

/// <summary>MLSMessage (RFC 9420, 6): decoded, nothing verified. The first ticket: only <c>Group</c> turns it into something that may be used. Immutable,
/// thread-safe.</summary>
public sealed class MlsMessage : IWireValue
{
    /// <summary>Bytes above this are refused before decoding; 16 MiB.</summary>
    public const int MaxBytes = 16 * 1024 * 1024;

    private readonly IWireValue _body;
    private volatile OpenedSenderData? _opened;

    internal MlsMessage(WireFormat format, IWireValue body) => (WireFormat, _body) = (format, body);

    /// <summary>Which of the bodies it has.</summary>
    public WireFormat WireFormat { get; }

    /// <summary>The sender data and the epoch whose secret opened it: who orders a batch before it is processed opens it once.</summary>
    internal OpenedSenderData? Opened { get => _opened; set => _opened = value; }

    internal PublicMessage? Public => _body as PublicMessage;
    internal PrivateMessage? Private => _body as PrivateMessage;
    internal Welcome? Welcome => _body as Welcome;

    /// <summary>The key package, if that is what it is; unverified.</summary>
    public KeyPackage? KeyPackage => _body as KeyPackage;

    /// <summary>The group info, if that is what it is; unverified.</summary>
    public GroupInfo? GroupInfo => _body as GroupInfo;

    /// <summary>The group it names, for public and private messages; otherwise empty. Unverified.</summary>
    public ReadOnlyMemory<byte> GroupId => Private?.GroupId ?? Public?.Content.Content.GroupId ?? default;

    /// <summary>The epoch it names, for public and private messages. Unverified.</summary>
    public ulong Epoch => Private?.Epoch ?? Public?.Content.Content.Epoch ?? 0;

    /// <summary>What it carries, for public and private messages. Unverified.</summary>
    public ContentType ContentType => Private?.ContentType ?? Public?.Content.Content.ContentType ?? ContentType.None;

    internal static MlsMessage Read(ReadOnlySpan<byte> bytes)
    {
        MlsException.ThrowIf(bytes.Length > MaxBytes, MlsError.TooLarge);
        var reader = new TlsReader(bytes);
        MlsException.ThrowIf(reader.ReadUInt16() != 1, MlsError.UnsupportedVersion);
        var format = (WireFormat)reader.ReadUInt16();
        IWireValue body = format switch
        {
            WireFormat.PublicMessage => PublicMessage.Read(ref reader),
            WireFormat.PrivateMessage => PrivateMessage.Read(ref reader),
            WireFormat.Welcome => Messages.Welcome.Read(ref reader),
            WireFormat.GroupInfo => Messages.GroupInfo.Read(ref reader),
            WireFormat.KeyPackage => Messages.KeyPackage.Read(ref reader),
            _ => throw new MlsException(MlsError.Malformed, "wire format"),
        };
        reader.ExpectEnd();
        MlsException.ThrowIf(body is KeyPackage { Version: not 1 }, MlsError.UnsupportedVersion); // that of the message, by RFC 9420, 10
        return new MlsMessage(format, body);
    }

    /// <summary>Decodes one message of at most <see cref="MaxBytes"/>, refusing trailing bytes. Memory taken is bounded by a small multiple of the
    /// bytes.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out MlsMessage? message, out MlsError error)
    {
        try
        {
            (message, error) = (Read(bytes), MlsError.None);
            return true;
        }
        catch (MlsException refusal)
        {
            (message, error) = (null, refusal.Error);
            return false;
        }
    }

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16(1);
        writer.WriteUInt16((ushort)WireFormat);
        _body.Write(writer);
    }

    /// <summary>The wire form.</summary>
    public byte[] ToBytes() => TlsWriter.Encode(this);

    /// <summary>A key package as an MLSMessage.</summary>
    public static MlsMessage Of(KeyPackage keyPackage) => new(WireFormat.KeyPackage, keyPackage);
}
