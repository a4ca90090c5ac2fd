using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Groups;

public sealed partial class Group
{
    private const byte StateVersion = 2;

    /// <summary>
    /// The whole state, secrets included: encrypt it before it is stored. Contains an own staged commit, the epoch that can be rolled back to and the past
    /// epochs, so a new process goes on at exactly this point. Store it after every call that changed the group and before what came out of that call is sent:
    /// then no generation is ever used twice. Size: about 200 bytes a member, 1 KB, and what past epochs and a staged commit add. The array is the caller's to
    /// wipe.
    /// </summary>
    public byte[] Serialize()
    {
        var writer = TlsWriter.ForSecrets(1024 + (_epoch.Tree.LeafCount * 256));
        writer.WriteByte(StateVersion);
        writer.WriteByte(_closed ? (byte)1 : (byte)0);
        writer.WriteOpaque(_closed ? default : Suite.Signature.PrivateKeyOf(_signatureKey));
        _epoch.Write(writer, null);
        // Newest first: each tree is told by what differs from the one before it in this list.
        var start = writer.BeginVector();
        for (var i = _past.Count - 1; i >= 0; i--) _past[i].Write(writer, i == _past.Count - 1 ? _epoch : _past[i + 1]);
        writer.EndVector(start);
        writer.WriteByte(_staged is null ? (byte)0 : (byte)1);
        _staged?.Write(writer);
        return writer.TakeAndWipe();
    }

    /// <summary>
    /// Reads what <see cref="Serialize"/> wrote in this version; false for anything else. The bytes are trusted as the client's own: whoever stores them keeps
    /// them secret and unchanged. A group must not be restored from an older state than the last one from which something was sent.
    /// </summary>
    public static bool TryRestore(ReadOnlySpan<byte> state, GroupRules? rules, out Group? group)
    {
        group = null;
        try
        {
            var reader = new TlsReader(state);
            MlsException.ThrowIf(reader.ReadByte() != StateVersion, MlsError.BadState);
            var closed = reader.ReadPresence();
            var signatureKey = reader.ReadOpaque();
            var epoch = EpochState.Read(ref reader, null);
            var restored = new Group(epoch, closed ? SecretBytes.Wiped() : epoch.Suite.Signature.Prepare(signatureKey), rules ?? new GroupRules())
            {
                _closed = closed,
            };
            for (var body = reader.ReadVector(); body.Remaining > 0;)
            {
                restored._past.Insert(0, EpochState.Read(ref body, restored._past.Count == 0 ? restored._epoch : restored._past[0]));
            }

            if (reader.ReadPresence()) restored._staged = restored.ReadStaged(ref reader);
            reader.ExpectEnd();
            group = restored;
            return true;
        }
        catch (MlsException)
        {
            return false;
        }
    }

    private StagedCommit ReadStaged(ref TlsReader reader)
    {
        var next = EpochState.Read(ref reader, _epoch);
        var message = ReadMessage(ref reader);
        var welcome = reader.ReadPresence() ? ReadMessage(ref reader) : null;
        var hasPath = reader.ReadPresence();
        var added = ReadIndexes(ref reader);
        var removed = ReadIndexes(ref reader);
        var updated = ReadIndexes(ref reader);
        var proposals = new List<(Proposal, Sender)>();
        for (var body = reader.ReadVector(); body.Remaining > 0;) proposals.Add((Proposal.Read(ref body), Sender.Read(ref body)));
        return new StagedCommit(_epoch, next, Sender.Member(OwnLeaf), OwnLeaf, hasPath, added, removed, updated)
        {
            Message = message,
            Welcome = welcome,
            Proposals = proposals,
        };
    }

    private static int[] ReadIndexes(ref TlsReader reader) => [.. reader.ReadUInt32Vector().Select(i => (int)i)];

    private static MlsMessage ReadMessage(ref TlsReader reader)
    {
        reader.ReadUInt16();
        var format = (WireFormat)reader.ReadUInt16();
        return format switch
        {
            WireFormat.PublicMessage => new MlsMessage(format, PublicMessage.Read(ref reader)),
            WireFormat.PrivateMessage => new MlsMessage(format, PrivateMessage.Read(ref reader)),
            WireFormat.Welcome => new MlsMessage(format, Messages.Welcome.Read(ref reader)),
            _ => throw new MlsException(MlsError.BadState),
        };
    }
}
