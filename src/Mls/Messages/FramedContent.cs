using System.Diagnostics.CodeAnalysis;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;

namespace Marmot.Mls.Messages;

/// <summary>Wire formats (RFC 9420, 6).</summary>
public enum WireFormat
{
    /// <summary>Not a valid value on the wire.</summary>
    None = 0,
    /// <summary>Signed, not encrypted.</summary>
    PublicMessage = 1,
    /// <summary>Signed and encrypted.</summary>
    PrivateMessage = 2,
    /// <summary>For new members.</summary>
    Welcome = 3,
    /// <summary>For those who join by an external commit.</summary>
    GroupInfo = 4,
    /// <summary>A client's key package.</summary>
    KeyPackage = 5,
}

/// <summary>What a message carries (RFC 9420, 6).</summary>
public enum ContentType
{
    /// <summary>Not a valid value on the wire.</summary>
    None = 0,
    /// <summary>Application data.</summary>
    Application = 1,
    /// <summary>A proposal.</summary>
    Proposal = 2,
    /// <summary>A commit.</summary>
    Commit = 3,
}

/// <summary>Who sent a message (RFC 9420, 6).</summary>
public enum SenderType
{
    /// <summary>Not a valid value on the wire.</summary>
    None = 0,
    /// <summary>A member, by leaf index.</summary>
    Member = 1,
    /// <summary>A sender of the external_senders extension, by its index.</summary>
    External = 2,
    /// <summary>Someone who proposes to add himself.</summary>
    NewMemberProposal = 3,
    /// <summary>Someone who joins by an external commit.</summary>
    NewMemberCommit = 4,
}

/// <summary>Sender (RFC 9420, 6). The index counts for members and external senders only.</summary>
public readonly record struct Sender(SenderType Type, uint Index)
{
    internal static Sender Member(int leaf) => new(SenderType.Member, (uint)leaf);

    internal static Sender Read(ref TlsReader reader)
    {
        var type = (SenderType)reader.ReadByte();
        return type switch
        {
            SenderType.Member or SenderType.External => new Sender(type, reader.ReadUInt32()),
            SenderType.NewMemberProposal or SenderType.NewMemberCommit => new Sender(type, 0),
            _ => throw new MlsException(MlsError.Malformed, "sender type"),
        };
    }

    internal void Write(TlsWriter writer)
    {
        writer.WriteByte((byte)Type);
        if (Type is SenderType.Member or SenderType.External) writer.WriteUInt32(Index);
    }
}

/// <summary>FramedContent (RFC 9420, 6). The body is kept as its bytes and decoded once.</summary>
internal sealed class FramedContent : IWireValue
{
    public required byte[] GroupId { get; init; }
    public required ulong Epoch { get; init; }
    public required Sender Sender { get; init; }
    public required byte[] AuthenticatedData { get; init; }
    public required ContentType ContentType { get; init; }
    public byte[] Application { get; init; } = [];
    public Proposal? Proposal { get; init; }
    public Commit? Commit { get; init; }

    private byte[]? _body; // of proposals and commits

    public static FramedContent Read(ref TlsReader reader)
    {
        var groupId = reader.ReadBytes();
        var epoch = reader.ReadUInt64();
        var sender = Sender.Read(ref reader);
        var authenticatedData = reader.ReadBytes();
        return ReadBody(ref reader, (ContentType)reader.ReadByte(), groupId, epoch, sender, authenticatedData);
    }

    public static FramedContent ReadBody(ref TlsReader reader, ContentType type, byte[] groupId, ulong epoch, Sender sender, byte[] authenticatedData)
    {
        var start = reader.Rest;
        return new()
        {
            GroupId = groupId,
            Epoch = epoch,
            Sender = sender,
            AuthenticatedData = authenticatedData,
            ContentType = type is ContentType.Application or ContentType.Proposal or ContentType.Commit
                ? type
                : throw new MlsException(MlsError.Malformed, "content type"),
            Application = type == ContentType.Application ? reader.ReadBytes() : [],
            Proposal = type == ContentType.Proposal ? Proposal.Read(ref reader) : null,
            Commit = type == ContentType.Commit ? Commit.Read(ref reader) : null,
            _body = type == ContentType.Application ? null : start[..^reader.Remaining].ToArray(),
        };
    }

    public void Write(TlsWriter writer)
    {
        writer.WriteOpaque(GroupId);
        writer.WriteUInt64(Epoch);
        Sender.Write(writer);
        writer.WriteOpaque(AuthenticatedData);
        writer.WriteByte((byte)ContentType);
        WriteBody(writer);
    }

    public void WriteBody(TlsWriter writer)
    {
        // The same body is signed, hashed and sent: it is encoded once.
        if (ContentType == ContentType.Application) writer.WriteOpaque(Application);
        else writer.WriteFixed(_body ??= TlsWriter.Encode(ContentType == ContentType.Proposal ? Proposal! : Commit!));
    }

    /// <summary>About how many bytes it takes, so that a buffer need not grow.</summary>
    public int SizeHint => 64 + GroupId.Length + AuthenticatedData.Length + Application.Length + (_body?.Length ?? 0);
}

/// <summary>
/// FramedContent with its signature and, for commits, its confirmation tag (RFC 9420, 6.1): as it was decoded, or signed here to be sent. Nothing of a received
/// one is used before <see cref="TryVerify"/> has made a <see cref="VerifiedContent"/> of it.
/// </summary>
internal sealed class AuthenticatedContent : IWireValue
{
    public required WireFormat WireFormat { get; init; }
    public required FramedContent Content { get; init; }
    public required byte[] Signature { get; init; }
    public byte[]? ConfirmationTag { get; init; }

    public static AuthenticatedContent Read(ref TlsReader reader)
    {
        var format = (WireFormat)reader.ReadUInt16();
        var content = FramedContent.Read(ref reader);
        return ReadAuth(ref reader, format, content);
    }

    public static AuthenticatedContent ReadAuth(ref TlsReader reader, WireFormat format, FramedContent content) => new()
    {
        WireFormat = format,
        Content = content,
        Signature = reader.ReadBytes(),
        ConfirmationTag = content.ContentType == ContentType.Commit ? reader.ReadBytes() : null,
    };

    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16((ushort)WireFormat);
        Content.Write(writer);
        WriteAuth(writer);
    }

    public void WriteAuth(TlsWriter writer)
    {
        writer.WriteOpaque(Signature);
        if (Content.ContentType == ContentType.Commit) writer.WriteOpaque(ConfirmationTag);
    }

    /// <summary>FramedContentTBS: members and external joiners sign the group context too.</summary>
    private static ReadOnlySpan<byte> ToBeSigned(WireFormat format, FramedContent content, ReadOnlySpan<byte> context)
    {
        var writer = new TlsWriter(content.SizeHint + context.Length + 128);
        writer.WriteUInt16(1);
        writer.WriteUInt16((ushort)format);
        content.Write(writer);
        if (content.Sender.Type is SenderType.Member or SenderType.NewMemberCommit) writer.WriteFixed(context);
        return writer.Written;
    }

    public static byte[] Sign(CipherSuite suite, WireFormat format, FramedContent content, ReadOnlySpan<byte> context, SecretBytes signatureKey)
        => suite.SignWithLabel(signatureKey, "FramedContentTBS"u8, ToBeSigned(format, content, context));

    public bool HasValidSignature(CipherSuite suite, ReadOnlySpan<byte> context, ReadOnlySpan<byte> publicKey)
        => suite.VerifyWithLabel(publicKey, "FramedContentTBS"u8, ToBeSigned(WireFormat, Content, context), Signature);

    /// <summary>The only way to a <see cref="VerifiedContent"/>; false when the signature is not the one of this key.</summary>
    public bool TryVerify(CipherSuite suite, ReadOnlySpan<byte> context, ReadOnlySpan<byte> publicKey, [NotNullWhen(true)] out VerifiedContent? verified)
    {
        verified = HasValidSignature(suite, context, publicKey) ? new VerifiedContent(this) : null;
        return verified is not null;
    }

    /// <summary>membership_tag (RFC 9420, 6.2).</summary>
    public byte[] MembershipTag(CipherSuite suite, ReadOnlySpan<byte> context, ReadOnlySpan<byte> membershipKey)
    {
        var writer = new TlsWriter();
        writer.WriteFixed(ToBeSigned(WireFormat, Content, context));
        WriteAuth(writer);
        return suite.Mac(membershipKey, writer.Written);
    }

    /// <summary>ProposalRef (RFC 9420, 5.2).</summary>
    public byte[] ProposalReference(CipherSuite suite) => suite.RefHash("MLS 1.0 Proposal Reference"u8, TlsWriter.Encode(this));
}

/// <summary>Received content whose signature is its sender's: the second ticket. Made by <see cref="AuthenticatedContent.TryVerify"/> and nowhere
/// else.</summary>
internal sealed class VerifiedContent
{
    private readonly AuthenticatedContent _content;

    internal VerifiedContent(AuthenticatedContent content) => _content = content;

    public WireFormat WireFormat => _content.WireFormat;
    public FramedContent Content => _content.Content;
    public byte[] Signature => _content.Signature;
    public byte[]? ConfirmationTag => _content.ConfirmationTag;

    public byte[] ProposalReference(CipherSuite suite) => _content.ProposalReference(suite);
}
