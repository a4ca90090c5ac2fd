using Marmot.Mls.Codec;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Groups;

/// <summary>Damages messages, anywhere or at chosen places. Seeded; one thread.</summary>
internal sealed class Mutator(int seed)
{
    private static readonly byte[] Headers = [0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff];

    private readonly Random _random = new(seed);

    public T Any<T>(IReadOnlyList<T> list) => list[_random.Next(list.Count)];

    public int Next(int below) => _random.Next(below);

    /// <summary>One to three blind changes of the bytes; <paramref name="other"/> gives pieces.</summary>
    public byte[] Blind(byte[] bytes, byte[] other)
    {
        for (var times = _random.Next(3); times >= 0; times--) bytes = Once(bytes, other);
        return bytes;
    }

    private byte[] Once(byte[] bytes, byte[] other)
    {
        if (bytes.Length == 0) return [.. other];
        byte[] changed = [.. bytes];
        var at = _random.Next(changed.Length);
        var count = 1 + _random.Next(Math.Min(40, changed.Length - at));
        switch (_random.Next(10))
        {
            case 0: changed[at] ^= (byte)(1 << _random.Next(8)); return changed;
            case 1: changed[at] = Any(Headers); return changed; // length headers, presence and enum values
            case 2: changed[at]++; return changed;
            case 3: return changed[..at];
            case 4: return [.. changed[..at], .. changed[(at + count)..]];
            case 5: return [.. changed[..(at + count)], .. changed[at..]];
            case 6: changed.AsSpan(at, count).Clear(); return changed;
            case 7: _random.NextBytes(changed.AsSpan(at, count)); return changed;
            case 8: return [.. changed[..at], .. other[_random.Next(other.Length)..]];
            default: return [.. changed, .. other[..Math.Min(count, other.Length)]];
        }
    }

    /// <summary>Changes one field of a decoded message and leaves the rest well-formed.</summary>
    public MlsMessage Structured(MlsMessage message, MlsMessage other) => message switch
    {
        { Private: { } sealedMessage } => new MlsMessage(WireFormat.PrivateMessage, Structured(sealedMessage, other.Private ?? sealedMessage)),
        { Public: { } open } => new MlsMessage(WireFormat.PublicMessage, Structured(open)),
        { Welcome: { } welcome } => new MlsMessage(WireFormat.Welcome, Structured(welcome)),
        _ => message,
    };

    private PrivateMessage Structured(PrivateMessage message, PrivateMessage other) => _random.Next(8) switch
    {
        0 => message with { Epoch = message.Epoch + (ulong)_random.Next(-3, 4) },
        1 => message with { GroupId = Once(message.GroupId, other.GroupId) },
        2 => message with { ContentType = (ContentType)_random.Next(1, 4) },
        3 => message with { AuthenticatedData = Once([.. message.AuthenticatedData, 1], other.Ciphertext) },
        4 => message with { EncryptedSenderData = other.EncryptedSenderData },
        5 => message with { EncryptedSenderData = Once(message.EncryptedSenderData, other.EncryptedSenderData) },
        6 => message with { Ciphertext = other.Ciphertext },
        _ => message with { Ciphertext = Once(message.Ciphertext, other.Ciphertext) },
    };

    private PublicMessage Structured(PublicMessage message)
    {
        var (content, tag) = message;
        var framed = content.Content;
        if (_random.Next(4) == 0) return message with { MembershipTag = tag is null ? null : Once(tag, tag) };
        var sender = new Sender((SenderType)_random.Next(1, 5), (uint)_random.Next(6));
        return new PublicMessage(
            new AuthenticatedContent
            {
                WireFormat = WireFormat.PublicMessage,
                Content = new FramedContent
                {
                    GroupId = framed.GroupId,
                    Epoch = framed.Epoch + (ulong)(_random.Next(4) == 0 ? 1 : 0),
                    Sender = _random.Next(2) == 0 ? sender : framed.Sender,
                    AuthenticatedData = _random.Next(4) == 0 ? [1] : framed.AuthenticatedData,
                    ContentType = framed.ContentType,
                    Application = framed.Application,
                    Proposal = framed.Proposal,
                    Commit = framed.Commit is { } commit && _random.Next(2) == 0 ? Structured(commit) : framed.Commit,
                },
                Signature = _random.Next(4) == 0 ? Once(content.Signature, content.Signature) : content.Signature,
                ConfirmationTag = content.ConfirmationTag is { } confirmation && _random.Next(4) == 0
                    ? Once(confirmation, confirmation)
                    : content.ConfirmationTag,
            },
            tag ?? [0]);
    }

    private Welcome Structured(Welcome welcome) => _random.Next(6) switch
    {
        0 => welcome with { CipherSuite = (ushort)_random.Next(9) },
        1 => welcome with { Secrets = [] },
        2 => welcome with { EncryptedGroupInfo = Once(welcome.EncryptedGroupInfo, [1]) },
        3 => welcome with { Secrets = [.. welcome.Secrets.Select(s => s with { NewMember = Once(s.NewMember, s.NewMember) })] },
        4 => welcome with { Secrets = [.. welcome.Secrets.Select(s => s with { Secrets = s.Secrets with { KemOutput = Once(s.Secrets.KemOutput, [9]) } })] },
        _ => welcome with { Secrets = [.. welcome.Secrets.Select(s => s with { Secrets = s.Secrets with { Ciphertext = Once(s.Secrets.Ciphertext, [9]) } })] },
    };

    /// <summary>A commit with a proposal, a path node or a ciphertext more, less or elsewhere.</summary>
    public Commit Structured(Commit commit)
    {
        if (commit.Path is not { } path || _random.Next(3) == 0)
        {
            return _random.Next(4) switch
            {
                0 => commit with { Path = null },
                1 => commit with { Proposals = [.. commit.Proposals, .. commit.Proposals] },
                2 => commit with { Proposals = [.. commit.Proposals, new ProposalOrRef(new RemoveProposal((uint)_random.Next(7)), null)] },
                _ => commit with { Proposals = [new ProposalOrRef(null, new byte[_random.Next(40)])] },
            };
        }
        if (path.Nodes.Length == 0) return commit;
        var at = _random.Next(path.Nodes.Length);
        var node = path.Nodes[at];
        UpdatePathNode[] With(UpdatePathNode changed) => [.. path.Nodes[..at], changed, .. path.Nodes[(at + 1)..]];
        return commit with
        {
            Path = path with
            {
                Nodes = _random.Next(6) switch
                {
                    0 => [],
                    1 => [.. path.Nodes, node],
                    2 => [.. path.Nodes.Reverse()],
                    3 => With(node with { EncryptionKey = Once(node.EncryptionKey, node.EncryptionKey) }),
                    4 => With(node with { EncryptedPathSecret = [] }),
                    _ => With(node with
                    {
                        EncryptedPathSecret = [
                            .. node.EncryptedPathSecret.Select(c => c with
                            {
                                Ciphertext = Once(c.Ciphertext, c.Ciphertext),
                                KemOutput = _random.Next(2) == 0 ? c.KemOutput : Once(c.KemOutput, c.KemOutput),
                            })
                        ],
                    }),
                },
            },
        };
    }
}
