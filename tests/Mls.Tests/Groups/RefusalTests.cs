using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;

namespace Marmot.Mls.Tests.Groups;

/// <summary>What a refusal says: which rule, whose fault, and whether the same bytes may be taken later.</summary>
public class RefusalTests
{
    private static MlsRefusal Refusal(Group group, MlsMessage message)
    {
        Assert.False(group.TryProcess(Client.Wire(message), out _, out var refusal));
        return refusal;
    }

    /// <summary>A proposal that differs from every other: the same one twice counts once.</summary>
    private static MlsMessage Another(Group group, WireFormat format = WireFormat.PublicMessage)
        => group.Propose(new RemoveProposal(0), format, BitConverter.GetBytes(Interlocked.Increment(ref _made)));

    private static int _made;

    [Fact]
    public void A_refusal_compares_as_its_rule_and_prints_the_leaf()
    {
        var refusal = new MlsRefusal(MlsError.InvalidKey, 3);
        Assert.Equal(MlsError.InvalidKey, refusal.ToMlsError());
        Assert.Equal("InvalidKey: leaf 3", refusal.ToString());
        Assert.Equal("BadSignature", new MlsRefusal(MlsError.BadSignature).ToString());
        Assert.Equal(MlsError.None, MlsRefusal.None);
        Assert.Equal(refusal, new MlsException(refusal).Refusal);
    }

    [Fact]
    public void Thirteen_hundred_missed_messages_are_all_read_although_the_last_two_hundred_come_first()
    {
        var clients = Client.InOneGroup(2);
        var sent = Enumerable.Range(0, 1300).Select(i => clients[0].Group.Protect([(byte)i, (byte)(i >> 8)])).ToArray();
        var parked = new Queue<MlsMessage>();
        var read = new HashSet<int>();
        foreach (var message in sent.AsEnumerable().Reverse().Take(200).Concat(sent.Take(1100))) Give(message);
        for (var rounds = 0; parked.Count > 0; rounds++)
        {
            Assert.True(rounds < 2);
            // Together with what waits, in the order in which they were sent.
            foreach (var message in parked.ToArray().OrderBy(m => clients[1].Group.TryReadSender(m, out var sender) ? sender.Generation : 0))
            {
                parked.Dequeue();
                Give(message);
            }
        }
        Assert.Equal(1300, read.Count);

        void Give(MlsMessage message)
        {
            if (clients[1].Group.TryProcess(message, out var received, out var refusal))
            {
                var data = Assert.IsType<ReceivedApplication>(received).Data;
                Assert.True(read.Add(data[0] | (data[1] << 8)));
                return;
            }
            Assert.Equal(new MlsRefusal(MlsError.GenerationTooFarAhead, MayResolve: true), refusal);
            parked.Enqueue(message);
        }
    }

    [Fact]
    public void A_batch_of_one_sender_in_any_order_is_read_whole_in_the_order_of_its_generations()
    {
        var clients = Client.InOneGroup(3);
        var sent = Enumerable.Range(0, 400).Select(i => clients[i & 1].Group.Protect([(byte)i, (byte)(i >> 8)])).ToArray();
        new Random(5).Shuffle(sent);
        var seen = 0;
        foreach (var message in sent.OrderBy(m =>
        {
            Assert.True(clients[2].Group.TryReadSender(m, out var sender));
            Assert.InRange(sender.Leaf, 0, 1);
            return sender.Generation;
        }))
        {
            clients[2].Group.Process(message);
            seen++;
        }
        Assert.Equal(400, seen);
        Assert.True(seen / 2 > SecretTree.MaxSkipped);
    }

    [Fact]
    public void The_sender_is_read_of_private_messages_of_known_epochs_only_and_nothing_changes()
    {
        var clients = Client.InOneGroup(3);
        clients[0].Group.Protect([1]);
        var message = clients[0].Group.Protect([2]);
        var state = clients[1].Group.Serialize();
        Assert.True(clients[1].Group.TryReadSender(message, out var sender));
        Assert.Equal(new MessageSender(0, 1), sender);
        Assert.Equal(state, clients[1].Group.Serialize());

        Assert.False(clients[1].Group.TryReadSender(clients[0].Group.Propose(new SelfRemoveProposal()), out _));
        var later = Client.Commits(clients[2], [], new CommitRequest { ForcePath = true });
        Assert.True(clients[1].Group.TryReadSender(later.Message!, out _));
        var ahead = clients[2].Group.Protect([3]);
        Assert.False(clients[1].Group.TryReadSender(ahead, out _));
        clients[1].Follows(later.Message!);
        Assert.True(clients[1].Group.TryReadSender(ahead, out sender));
        Assert.Equal(2, sender.Leaf);
        Assert.True(clients[1].Group.TryReadSender(message, out _)); // of the past epoch
        var bytes = ahead.ToBytes();
        bytes[^1] ^= 1; // the sample of the sender data is at the start of the ciphertext
        bytes[^(bytes.Length - 40)] ^= 1;
        Assert.False(MlsMessage.TryRead(bytes, out var broken, out _) && clients[1].Group.TryReadSender(broken!, out _));
        Assert.False(new Client("other").Creates("other").Group.TryReadSender(ahead, out _));
    }

    [Fact]
    public void What_may_resolve_says_so_and_is_taken_once_it_has()
    {
        var clients = Client.InOneGroup(3);

        // A commit whose proposal has not come.
        var proposal = clients[2].Group.Propose(new RemoveProposal(0), WireFormat.PublicMessage);
        clients[1].Group.Process(Client.Wire(proposal));
        var commit = clients[1].Group.Commit();
        clients[1].Group.Merge(commit);
        Assert.Equal(new MlsRefusal(MlsError.UnknownProposal, MayResolve: true), Refusal(clients[0].Group, commit.Message!));

        // Messages of a later epoch.
        var ahead = clients[1].Group.Protect([1]);
        Assert.Equal(new MlsRefusal(MlsError.WrongEpoch, MayResolve: true), Refusal(clients[2].Group, ahead));
        clients[2].Follows(commit.Message!);
        Assert.IsType<ReceivedApplication>(clients[2].Group.Process(Client.Wire(ahead)));

        // The proposal comes: then the commit is taken. Of an ended epoch it is refused for good.
        clients[0].Group.Process(Client.Wire(proposal));
        Assert.True(clients[0].Follows(commit.Message!).RemovesSelf);
        Assert.Equal(new MlsRefusal(MlsError.WrongEpoch), Refusal(clients[2].Group, commit.Message!));
    }

    [Fact]
    public void A_psk_that_is_not_known_yet_and_a_missing_tree_may_resolve()
    {
        var psk = new byte[32];
        var known = false;
        var rules = new GroupRules { ExternalPsk = _ => known ? psk : null };
        var clients = Client.InOneGroup(2, rules: rules);
        known = true;
        var commit = clients[0].Group.Commit(new CommitRequest { Proposals = [new PreSharedKeyProposal(PreSharedKeyId.External([1], new byte[32]))] });
        known = false;
        Assert.Equal(new MlsRefusal(MlsError.BadPsk, MayResolve: true), Refusal(clients[1].Group, commit.Message!));
        known = true;
        clients[1].Follows(commit.Message!);
        clients[0].Group.Merge(commit);

        var joiner = new Client("joiner");
        var adding = clients[0].Group.Commit(new CommitRequest { Proposals = [new AddProposal(joiner.NewPackage())], TreeInWelcome = false });
        clients[0].Group.Merge(adding);
        Assert.False(Group.TryJoin(adding.Welcome!, joiner.Package!, null, out _, out var refusal));
        Assert.Equal(new MlsRefusal(MlsError.MissingTree, MayResolve: true), refusal);
        Assert.True(Group.TryJoin(adding.Welcome!, joiner.Package!, new JoinRequest { RatchetTree = clients[0].Group.RatchetTreeBytes() }, out _, out _));
    }

    [Fact]
    public void Every_other_rule_is_final()
    {
        var mayResolve = Enum.GetValues<MlsError>().Where(e => new MlsException(e).MayResolve);
        Assert.Equal([MlsError.GenerationTooFarAhead, MlsError.UnknownProposal, MlsError.MissingTree], mayResolve);
    }

    [Theory]
    [InlineData(WireFormat.PublicMessage)]
    [InlineData(WireFormat.PrivateMessage)]
    public void A_sender_with_too_many_proposals_in_an_epoch_is_refused_and_named(WireFormat format)
    {
        var rules = new GroupRules { MaxPendingProposalsPerSender = 3 };
        var clients = Client.InOneGroup(3, rules: rules);
        var free = new GroupRules();
        Assert.True(Group.TryRestore(clients[2].Group.Serialize(), free, out var flooding));
        for (var i = 0; i < 3; i++) clients[0].Group.Process(Client.Wire(Another(flooding!, format)));
        var state = clients[0].Group.Serialize();
        var fourth = Another(flooding!, format);
        Assert.Equal(new MlsRefusal(MlsError.TooManyProposals, 2), Refusal(clients[0].Group, fourth));
        Assert.Equal(state, clients[0].Group.Serialize());

        // One that is known may be sent again, others still may, and the next epoch starts from none.
        clients[0].Group.Process(Client.Wire(clients[1].Group.ProposeUpdate(format)));
        Assert.Equal(4, clients[0].Group.PendingProposals.Count);
        var commit = clients[0].Group.Commit(new CommitRequest { IncludePending = (_, _) => false });
        clients[0].Group.Merge(commit);
        flooding!.Merge(Assert.IsType<ReceivedCommit>(flooding.Process(Client.Wire(commit.Message!))).Commit);
        clients[0].Group.Process(Client.Wire(Another(flooding, format)));
    }

    [Fact]
    public void All_senders_together_have_a_bound_too_and_so_has_this_client()
    {
        var clients = Client.InOneGroup(4, rules: new GroupRules { MaxPendingProposals = 4, MaxPendingProposalsPerSender = 2 });
        for (var i = 0; i < 2; i++)
        {
            Another(clients[0].Group);
            clients[0].Group.Process(Client.Wire(Another(clients[1].Group)));
        }
        Assert.Equal(new MlsRefusal(MlsError.TooManyProposals, 0), Assert.Throws<MlsException>(() => Another(clients[0].Group)).Refusal);
        Assert.Equal(new MlsRefusal(MlsError.TooManyProposals, 2), Refusal(clients[0].Group, Another(clients[2].Group)));
    }

    [Fact]
    public void The_bounds_hold_by_default_and_choosing_among_that_many_is_quick()
    {
        var clients = Client.InOneGroup(25);
        foreach (var client in clients.Skip(1))
        {
            for (var i = 0; i < 50; i++)
            {
                Assert.True(clients[0].Group.TryProcess(Another(client.Group), out _, out _) || clients[0].Group.PendingProposals.Count == 1000);
            }
        }
        Assert.Equal(1000, clients[0].Group.PendingProposals.Count);
        var before = System.Diagnostics.Stopwatch.GetTimestamp();
        Assert.Empty(clients[0].Group.Commit().Removed); // nobody removes itself: none of them can be committed
        Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(before) < TimeSpan.FromSeconds(10));
    }

    [Fact]
    public void Of_several_items_that_are_refused_the_lowest_is_told_whatever_the_number_of_threads()
    {
        for (var run = 0; run < 200; run++)
        {
            var first = run % 60;
            var refusal = Assert.Throws<MlsException>(() => Marmot.Mls.Tree.Each.Do(64, i =>
            {
                if (i >= first) throw new MlsException(new MlsRefusal(MlsError.BadTree, i));
            }));
            Assert.Equal(first, refusal.Leaf);
        }
    }

    [Fact]
    public void What_a_stranger_or_a_relay_sends_is_refused_without_an_exception_of_this_library()
    {
        var clients = Client.InOneGroup(3);
        var other = new Client("other").Creates("other").Group;
        var ahead = Client.Commits(clients[2], [], new CommitRequest { ForcePath = true });
        var message = clients[0].Group.Protect([1]);
        var known = Client.Wire(message);
        clients[1].Group.Process(known);
        var flipped = clients[0].Group.Protect([2]).ToBytes();
        flipped[^1] ^= 1;
        Assert.True(MlsMessage.TryRead(flipped, out var broken, out _));
        var later = clients[2].Group.Protect([1]);
        var own = clients[1].Group.Protect([1]);
        var forged = Forger.WithTag(new Forger(clients[0]).Proposal(new RemoveProposal(2)), new byte[32]);
        var unsigned = new Forger(clients[0]).Proposal(new RemoveProposal(2), signatureKey: clients[2].SigningKey);
        (MlsMessage Message, MlsError Error)[] cases =
        [
            (known, MlsError.GenerationUsed), (broken!, MlsError.DecryptionFailed), (other.Protect([1]), MlsError.WrongGroup), (later, MlsError.WrongEpoch),
            (own, MlsError.OwnMessage),
            (forged, MlsError.BadMembershipTag), (unsigned, MlsError.BadSignature), (new Forger(clients[0]).FromLeaf(7), MlsError.BadSender),
            (new Forger(clients[0]).FromLeaf(0, 2000), MlsError.GenerationTooFarAhead), (new Forger(clients[0]).Application([1]), MlsError.WrongWireFormat),
        ];

        var thrown = 0;
        var thread = Environment.CurrentManagedThreadId;
        void Count(object? sender, System.Runtime.ExceptionServices.FirstChanceExceptionEventArgs args) =>
            thrown += args.Exception is MlsException && Environment.CurrentManagedThreadId == thread ? 1 : 0;
        AppDomain.CurrentDomain.FirstChanceException += Count;
        var refusals = cases.Select(c => clients[1].Group.TryProcess(c.Message, out _, out var refusal) ? MlsError.None : refusal.Error).ToArray();
        AppDomain.CurrentDomain.FirstChanceException -= Count;
        Assert.Equal(cases.Select(c => c.Error), refusals);
        Assert.Equal(0, thrown);
        Assert.NotNull(ahead);
    }
}
