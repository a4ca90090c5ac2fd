using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Groups;

[Trait("Spec", "RFC 9420, 9.2")]
public class GroupStateTests
{
    private static Group Restart(Group group)
    {
        var bytes = group.Serialize();
        Assert.True(Group.TryRestore(bytes, new GroupRules(), out var restored));
        Assert.Equal(bytes, restored!.Serialize());
        return restored;
    }

    [Fact]
    public void A_restored_group_goes_on_at_every_point()
    {
        var clients = Client.InOneGroup(4);
        for (var step = 0; step < 12; step++)
        {
            foreach (var client in clients) client.Group = Restart(client.Group);
            var committer = clients[step % 4];
            var update = clients[(step + 1) % 4].Group.ProposeUpdate();
            clients[(step + 1) % 4].Group = Restart(clients[(step + 1) % 4].Group);
            foreach (var other in clients.Where(c => c != clients[(step + 1) % 4])) other.Group.Process(Client.Wire(update));
            var message = committer.Group.Commit(new CommitRequest { ForcePath = true }).Message!;
            committer.Group = Restart(committer.Group);
            committer.Group.Merge(committer.Group.PendingCommit!);
            foreach (var other in clients.Where(c => c != committer)) other.Follows(message);
            Client.AssertAgree(clients);
            Client.AssertTalk(clients);
        }
        Assert.True(Restart(clients[0].Group).TryRollBack());
    }

    [Fact]
    public void A_generation_is_never_used_twice_when_the_state_is_stored_before_sending()
    {
        var clients = Client.InOneGroup(2);
        var first = clients[0].Group.Protect("a"u8);
        clients[0].Group = Restart(clients[0].Group);
        var second = clients[0].Group.Protect("b"u8);
        Assert.Equal("a"u8.ToArray(), Assert.IsType<ReceivedApplication>(clients[1].Group.Process(Client.Wire(first))).Data);
        Assert.Equal("b"u8.ToArray(), Assert.IsType<ReceivedApplication>(clients[1].Group.Process(Client.Wire(second))).Data);
    }

    [Fact]
    public void Cut_or_foreign_state_is_refused()
    {
        var state = Client.InOneGroup(3)[1].Group.Serialize();
        for (var length = 0; length < state.Length; length += 7) Assert.False(Group.TryRestore(state.AsSpan(0, length), null, out _));
        Assert.False(Group.TryRestore([.. state, 0], null, out _));
        state[0]++;
        Assert.False(Group.TryRestore(state, null, out _));
    }

    [Fact]
    public void A_damaged_state_is_restored_or_refused_and_nothing_worse()
    {
        var clients = Client.InOneGroup(4);
        clients[2].Group.Propose(new SelfRemoveProposal());
        clients[1].Group.ProposeUpdate();
        Client.Commits(clients[0], clients, new CommitRequest { ForcePath = true });
        clients[0].Group.Protect("a"u8);
        clients[0].Group.Commit(new CommitRequest { Proposals = [new RemoveProposal(3)] });
        byte[][] states = [clients[0].Group.Serialize(), clients[1].Group.Serialize(), clients[0].Package!.ToBytes()];
        var mutator = new Mutator(7);
        var refused = 0;
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = mutator.Blind(mutator.Any(states), mutator.Any(states));
            if (Group.TryRestore(bytes, null, out var group)) group!.Dispose();
            else refused++;
            if (KeyPackageSecrets.TryRead(bytes, out var secrets)) secrets!.Dispose();
        }
        Assert.InRange(refused, 10_000, 20_000);
    }

    [Fact]
    public void Secrets_of_an_ended_epoch_are_wiped_and_not_in_the_stored_state()
    {
        var clients = Client.InOneGroup(3);
        var epoch = clients[0].Group.Current;
        SecretBytes[] live = [epoch.Secrets.Init, epoch.Secrets.MembershipKey, epoch.Secrets.ConfirmationKey, epoch.Secrets.External, epoch.Keys.ByNode[0]];
        var copies = live.Select(s => s.ToArray()).ToArray();
        Assert.All(copies, c => Assert.True(clients[0].Group.Serialize().AsSpan().IndexOf(c) >= 0));
        Client.Commits(clients[0], clients, new CommitRequest { ForcePath = true });
        clients[0].Group.ForgetRollback();
        Assert.All(live, s => Assert.True(s.IsWiped));
        Assert.All(copies, c => Assert.True(clients[0].Group.Serialize().AsSpan().IndexOf(c) < 0));
    }

    [Fact]
    public void The_key_of_an_opened_message_is_gone_from_state_and_memory()
    {
        var clients = Client.InOneGroup(2);
        var message = clients[0].Group.Protect("secret"u8);
        var key = clients[1].Group.Current.SecretTree.Find(0, true, 0);
        clients[1].Group.Process(Client.Wire(message));
        Assert.True(clients[1].Group.Serialize().AsSpan().IndexOf(key.Key) < 0);
        Assert.Equal(MlsError.GenerationUsed, Client.Refusal(() => clients[1].Group.Current.SecretTree.Find(0, true, 0)));
    }

    [Fact]
    public void Removal_and_dispose_wipe_everything()
    {
        var clients = Client.InOneGroup(2);
        var epoch = clients[1].Group.Current;
        SecretBytes[] live = [epoch.Secrets.Init, epoch.Secrets.Exporter, epoch.Secrets.Authenticator, epoch.Keys.ByNode[2]];
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [new RemoveProposal(1)] });
        Assert.All(live, s => Assert.True(s.IsWiped));
        var exporter = clients[0].Group.Current.Secrets.Exporter;
        clients[0].Group.Dispose();
        Assert.True(exporter.IsWiped);
    }

    [Fact]
    public void A_closed_group_is_stored_and_comes_back_closed_and_without_secrets()
    {
        var clients = Client.InOneGroup(2);
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [new RemoveProposal(1)] });
        var closed = clients[1].Group;
        closed = Restart(closed);
        Assert.True(closed.IsClosed);
        Assert.Equal(MlsError.GroupClosed, Client.Refusal(() => closed.Export("marmot", "group-event"u8, 32)));
        Assert.Equal(MlsError.GroupClosed, Client.Refusal(() => _ = closed.EpochAuthenticator));
        Assert.Equal(MlsError.GroupClosed, Client.Refusal(() => closed.Commit()));
        Assert.False(closed.TryRollBack());
        closed.Dispose();
    }

    [Fact]
    public void Any_flipped_byte_of_a_message_is_refused_and_leaves_the_state_as_it_was()
    {
        var clients = Client.InOneGroup(3);
        var application = clients[0].Group.Protect("hello"u8).ToBytes();
        var proposal = clients[2].Group.Propose(new SelfRemoveProposal()).ToBytes();
        foreach (var format in (WireFormat[])[WireFormat.PrivateMessage, WireFormat.PublicMessage])
        {
            var own = clients[0].Group.Commit(new CommitRequest { ForcePath = true, Format = format });
            RefusesEveryFlip(clients[1].Group, own.Message!.ToBytes());
            clients[0].Group.Discard(own);
        }
        RefusesEveryFlip(clients[1].Group, application);
        RefusesEveryFlip(clients[1].Group, proposal);
        Assert.IsType<ReceivedApplication>(clients[1].Group.Process(MlsMessage.Read(application)));
    }

    private static void RefusesEveryFlip(Group group, byte[] bytes)
    {
        var before = group.Serialize();
        for (var i = 0; i < bytes.Length; i++)
        {
            for (var bit = 0; bit < 8; bit++)
            {
                bytes[i] ^= (byte)(1 << bit);
                if (MlsMessage.TryRead(bytes, out var message, out _))
                {
                    Assert.False(group.TryProcess(message!, out _, out _), $"byte {i} was accepted with bit {bit} flipped");
                }

                bytes[i] ^= (byte)(1 << bit);
            }
            Assert.True(before.AsSpan().SequenceEqual(group.Serialize()), $"byte {i} changed the state");
        }
    }

    [Fact]
    public void Any_flipped_byte_of_a_welcome_is_refused()
    {
        var alice = new Client("alice").Creates();
        var bob = new Client("bob");
        var bytes = alice.Group.Commit(new CommitRequest { Proposals = [new AddProposal(bob.NewPackage())], ForcePath = true }).Welcome!.ToBytes();
        var before = bob.Package!.ToBytes();
        for (var i = 0; i < bytes.Length; i++)
        {
            for (var bit = 0; bit < 8; bit++)
            {
                bytes[i] ^= (byte)(1 << bit);
                if (MlsMessage.TryRead(bytes, out var message, out _))
                {
                    Assert.False(Group.TryJoin(message!, bob.Package!, null, out _, out _), $"byte {i} was accepted with bit {bit} flipped");
                }

                bytes[i] ^= (byte)(1 << bit);
            }
            Assert.True(before.AsSpan().SequenceEqual(bob.Package.ToBytes()), $"byte {i} changed the key package");
        }
        Assert.True(Group.TryJoin(MlsMessage.Read(bytes), bob.Package!, null, out _, out _));
    }

    [Fact]
    public void Stored_key_packages_come_back_whole()
    {
        var bob = new Client("bob");
        bob.NewPackage();
        Assert.True(KeyPackageSecrets.TryRead(bob.Package!.ToBytes(), out var restored));
        Assert.Equal(bob.Package.ToBytes(), restored!.ToBytes());
        var init = restored.InitPrivateKey;
        restored.Dispose();
        Assert.True(init.IsWiped);
        Assert.False(KeyPackageSecrets.TryRead(bob.Package.ToBytes().AsSpan(1), out _));
    }
}
