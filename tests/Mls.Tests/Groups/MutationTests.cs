using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Xunit.Abstractions;

namespace Marmot.Mls.Tests.Groups;

/// <summary>
/// A million damaged messages against one group: from strangers (who cannot sign), from a member (whose damaged contents carry valid signatures and tags), and
/// from one who holds the sender data secret. Nothing but an <see cref="MlsError"/> may come of one, no state may change, and none may take much more memory
/// than its own size.
/// </summary>
[Trait("Spec", "RFC 9420")]
[Collection(nameof(WholeProcess))]
public class MutationTests(ITestOutputHelper output)
{
    private const int Strangers = 880_000;
    private const int Structured = 80_000;
    private const int Members = 36_000;
    private const int Senders = 4_000;
    private const int Workers = 2;

    // What one message may allocate: its own size some times over, and the fixed cost of the operation that it starts.
    private const int AllocationPerByte = 64;
    private const int AllocationPerMessage = 2 * 1024 * 1024;

    [Fact]
    public void A_million_damaged_messages_are_refused_and_change_nothing()
    {
        Assert.Equal(1_000_000, Strangers + Structured + Members + Senders);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var counts = new Dictionary<MlsError, int>[Workers];
        var failures = new Exception?[Workers];
        var threads = Enumerable.Range(0, Workers).Select(i => new Thread(() =>
        {
            try
            {
                counts[i] = new Worker(i + 1).Run();
            }
            catch (Exception e)
            {
                failures[i] = e;
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        Assert.All(failures, Assert.Null);
        var total = counts.SelectMany(c => c).GroupBy(c => c.Key).ToDictionary(g => g.Key, g => g.Sum(c => c.Value));
        output.WriteLine(string.Join(", ", total.OrderByDescending(t => t.Value).Select(t => $"{t.Key} {t.Value}")));
        Assert.Equal(1_000_000, total.Values.Sum());
        Assert.True(total.Count >= 25, "the damage reaches too few rules");
        Assert.True(GC.GetTotalMemory(forceFullCollection: true) - before < 16 * 1024 * 1024);
    }

    private sealed class Worker
    {
        private readonly Mutator _mutator;
        private readonly Client _member;
        private readonly Forger _forger;
        private readonly Client _receiver;
        private readonly Client _joiner;
        private readonly byte[] _state;
        private readonly byte[] _joinerState;
        private readonly byte[][] _valid;
        private readonly MlsMessage[] _validMessages;
        private readonly MlsMessage[] _structured;
        private readonly byte[][] _contents;
        private readonly byte[] _commit;
        private readonly Dictionary<MlsError, int> _counts = [];

        public Worker(int seed)
        {
            _mutator = new Mutator(seed);
            var clients = Client.InOneGroup(5);
            (_member, _receiver) = (clients[0], clients[1]);
            Client.Commits(clients[2], clients, new CommitRequest { ForcePath = true });
            Client.Commits(_member, clients, new CommitRequest { Proposals = [new RemoveProposal(4)] });
            var group = _member.Group;
            _forger = new Forger(_member);
            _joiner = new Client("joiner");
            var adds = new CommitRequest { Proposals = [new AddProposal(_joiner.NewPackage())], ForcePath = true };
            var external = new Client("external");
            external.NewPackage();

            var added = group.Commit(adds);
            group.Discard(added);
            _validMessages = [
                group.Protect("hello"u8, [1, 2], padTo: 64),
                Committed(new CommitRequest { ForcePath = true }),
                Committed(new CommitRequest { ForcePath = true, Format = WireFormat.PublicMessage }),
                Committed(new CommitRequest { Proposals = adds.Proposals, ForcePath = true, Format = WireFormat.PublicMessage }),
                Committed(new CommitRequest
                {
                    Proposals = [new RemoveProposal(3), new GroupContextExtensionsProposal(Client.MarmotExtensions)],
                    Format = WireFormat.PublicMessage,
                }),
                _forger.Proposal(new AddProposal(_joiner.Package!.KeyPackage)),
                _forger.Proposal(new RemoveProposal(3)),
                Group.JoinExternally(group.GroupInfo(), external.Package!).Commit,
                added.Welcome!,
                added.Welcome!,
                group.GroupInfo(),
                MlsMessage.Of(_joiner.Package!.KeyPackage),
            ];
            _structured = [.. _validMessages.Where(m => m.WireFormat is WireFormat.PrivateMessage or WireFormat.PublicMessage or WireFormat.Welcome)];
            _valid = [.. _validMessages.Select(m => m.ToBytes())];
            _contents = [.. new Proposal[]
            {
                new AddProposal(_joiner.Package!.KeyPackage), new RemoveProposal(3), new GroupContextExtensionsProposal(Client.MarmotExtensions),
                    new SelfRemoveProposal(),
                new UpdateProposal(_forger.Leaf(group.Leaf(0)!, LeafNodeSource.Update, _forger.NewKey())), new ReInitProposal([1], 1, 1, []),
                new PreSharedKeyProposal(PreSharedKeyId.External([1], new byte[32])), new ExternalInitProposal(new byte[32]),
                new CustomProposal(0x1234, [1, 2, 3]),
            }.Select(p => TlsWriter.Encode(p))];
            _commit = TlsWriter.Encode(new Commit([.. adds.Proposals.Select(p => new ProposalOrRef(p, null))], _forger.Path()));
            _state = _receiver.Group.Serialize();
            _joinerState = _joiner.Package.ToBytes();

            MlsMessage Committed(CommitRequest request)
            {
                var commit = group.Commit(request);
                group.Discard(commit);
                return commit.Message!;
            }
        }

        public Dictionary<MlsError, int> Run()
        {
            for (var i = 0; i < Strangers / Workers; i++) Count(Give(_mutator.Blind(_mutator.Any(_valid), _mutator.Any(_valid))), i);
            for (var i = 0; i < Structured / Workers; i++) Count(Give(_mutator.Structured(_mutator.Any(_structured), _mutator.Any(_structured)).ToBytes()), i);
            for (var i = 0; i < Members / Workers; i++) Count(GiveFromMember(), i);
            for (var i = 0; i < Senders / Workers; i++) Count(Give(WithSenderData()), i);
            AssertUnchanged();
            return _counts;
        }

        private void Count(MlsError error, int index)
        {
            _counts[error] = _counts.GetValueOrDefault(error) + 1;
            if (index % 1000 == 0) AssertUnchanged();
        }

        private void AssertUnchanged()
        {
            Assert.Equal(_state, _receiver.Group.Serialize());
            Assert.Equal(_joinerState, _joiner.Package!.ToBytes());
        }

        /// <summary>Everything that can be done with bytes from outside.</summary>
        private MlsError Give(byte[] bytes)
        {
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            var error = Handle(bytes);
            allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
            Assert.True(allocated < AllocationPerMessage + ((long)bytes.Length * AllocationPerByte),
                $"{error}: {bytes.Length} bytes made {allocated} bytes of garbage");
            return error;
        }

        private MlsError Handle(byte[] bytes)
        {
            if (!MlsMessage.TryRead(bytes, out var message, out var error)) return error;
            error = Handle(message!);
            // Only the very message that was sent is taken: some damage changes nothing.
            if (error == MlsError.None) Assert.Contains(_valid, v => v.AsSpan().SequenceEqual(bytes));
            return error;
        }

        private MlsError Handle(MlsMessage message)
        {
            MlsRefusal error;
            switch (message.WireFormat)
            {
                case WireFormat.KeyPackage:
                    return message.KeyPackage!.Verify(null);
                case WireFormat.Welcome:
                    if (!Group.TryJoin(message, _joiner.Package!, null, out var joined, out error)) return error;
                    joined!.Dispose();
                    return MlsError.None;
                case WireFormat.GroupInfo:
                    try
                    {
                        Group.JoinExternally(message, _joiner.Package!).Group.Dispose();
                        return MlsError.None;
                    }
                    catch (MlsException refusal)
                    {
                        return refusal.Error;
                    }
                default:
                    if (!_receiver.Group.TryProcess(message, out _, out error)) return error;
                    Restore();
                    return MlsError.None;
            }
        }

        /// <summary>A proposal or commit with damage inside, framed, signed and tagged by a member.</summary>
        private MlsError GiveFromMember()
        {
            MlsMessage message;
            try
            {
                message = FromMember();
            }
            catch (MlsException refusal)
            {
                return refusal.Error; // does not decode: cannot be framed
            }
            var bytes = message.ToBytes();
            if (!MlsMessage.TryRead(bytes, out var read, out var error)) return error;
            if (!_receiver.Group.TryProcess(read!, out var received, out var refused)) return refused;
            // Harmless after all, as a Remove of someone else; a commit cannot be: its confirmation tag is wrong.
            Assert.IsType<ReceivedProposal>(received);
            Restore();
            return MlsError.None;
        }

        private MlsMessage FromMember()
        {
            if (_mutator.Next(2) == 0)
            {
                var reader = new TlsReader(_mutator.Blind(_mutator.Any(_contents), _mutator.Any(_contents)));
                return _forger.Proposal(Proposal.Read(ref reader));
            }
            var commitReader = new TlsReader(_mutator.Next(2) == 0 ? _commit : _mutator.Blind(_commit, _mutator.Any(_contents)));
            var commit = _mutator.Structured(Commit.Read(ref commitReader));
            return _forger.Commit([], commit);
        }

        /// <summary>Any leaf, any generation: what a member, or a leaked secret, can make a receiver derive.</summary>
        private byte[] WithSenderData()
            => _forger.FromLeaf(_mutator.Next(4) == 0 ? uint.MaxValue - (uint)_mutator.Next(3) : (uint)_mutator.Next(9),
                _mutator.Next(8) == 0 ? (uint)_mutator.Next(1100) : uint.MaxValue - (uint)_mutator.Next(3)).ToBytes();

        private void Restore()
        {
            Assert.True(Group.TryRestore(_state, _receiver.Rules, out var restored));
            _receiver.Group.Dispose();
            _receiver.Group = restored!;
        }
    }
}
