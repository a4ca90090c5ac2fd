using System.Runtime.CompilerServices;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Groups;

/// <summary>A secret that was deleted is not in the stored state and nowhere in the memory of the process: heaps, stacks, native libraries.</summary>
[Trait("Spec", "RFC 9420, 9.2")]
[Collection(nameof(WholeProcess))]
public class DeletedSecretsTests
{
    [Fact]
    public void A_live_secret_is_found_so_that_the_search_can_fail()
    {
        var clients = Client.InOneGroup(3);
        var needles = EpochSecretsOf(clients[0].Group);
        Assert.Equal(needles.Select(n => n.Name).Order(), ProcessMemory.Find(needles));
        var state = clients[0].Group.Serialize();
        Assert.All(needles, n => Assert.True(n.IsInPlain(state), n.Name));
        GC.KeepAlive(clients);
    }

    [Fact]
    public void Secrets_of_an_ended_epoch_are_nowhere()
    {
        var clients = Client.InOneGroup(3);
        foreach (var client in clients) client.Package!.Dispose();
        var needles = EpochSecretsOf(clients[0].Group);
        // Every member renews its keys; everyone gives up the chance to roll back.
        foreach (var client in clients)
        {
            Client.Commits(client, clients, new CommitRequest { ForcePath = true });
            foreach (var each in clients) each.Group.ForgetRollback();
        }
        AssertGone(needles, clients);
    }

    [Fact]
    public void The_key_of_an_opened_message_and_what_it_came_from_are_nowhere()
    {
        var clients = Client.InOneGroup(2);
        var needles = new List<Needle>();
        Collect(needles, clients[0].Group);
        var messages = Enumerable.Range(0, 3).Select(_ => clients[0].Group.Protect("hello"u8).ToBytes()).ToArray();
        foreach (var bytes in messages) clients[1].Group.Process(MlsMessage.Read(bytes));
        AssertGone(needles, clients);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Collect(List<Needle> needles, Group group)
        {
            needles.Add(new Needle("root of the secret tree", group.Current.Secrets.Encryption));
            for (var generation = 0u; generation < 3; generation++)
            {
                using var key = group.Current.SecretTree.Find(group.OwnLeaf, true, generation);
                needles.Add(new Needle($"key {generation}", key.Key));
            }
        }
    }

    [Fact]
    public void Secrets_of_forgotten_epochs_are_nowhere()
    {
        var clients = Client.InOneGroup(2);
        var needles = new List<Needle>();
        Collect(needles, clients[0].Group);
        var ended = DateTimeOffset.UnixEpoch.AddDays(1);
        var commit = clients[0].Group.Commit(new CommitRequest { ForcePath = true });
        clients[0].Group.Merge(commit, ended);
        clients[1].Group.Merge(((ReceivedCommit)clients[1].Group.Process(Client.Wire(commit.Message!))).Commit, ended);
        foreach (var client in clients)
        {
            client.Group.ForgetRollback();
            client.Group.ForgetPastEpochs(ended.AddSeconds(1));
        }
        AssertGone(needles, clients);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Collect(List<Needle> needles, Group group)
        {
            var secrets = group.Current.Secrets;
            needles.Add(new Needle("exporter", secrets.Exporter));
            needles.Add(new Needle("sender data", secrets.SenderData));
            needles.Add(new Needle("resumption", secrets.Resumption));
        }
    }

    [Fact]
    public void Secrets_of_a_removed_member_and_of_a_disposed_group_are_nowhere()
    {
        var clients = Client.InOneGroup(2);
        foreach (var client in clients) client.Package!.Dispose();
        var needles = EpochSecretsOf(clients[1].Group);
        using (var signing = clients[1].SigningKey) needles.Add(new Needle("signature key", signing));
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [new RemoveProposal(1)] });
        Assert.True(clients[1].Group.IsClosed);
        clients[0].Group.Dispose();
        Assert.Empty(ProcessMemory.Find(needles));
    }

    [Fact]
    public void A_commit_that_lost_leaves_nothing()
    {
        var clients = Client.InOneGroup(3);
        var lost = clients[0].Group.Commit(new CommitRequest { ForcePath = true });
        clients[0].Group.Merge(lost);
        clients[1].Follows(lost.Message!);
        var needles = EpochSecretsOf(clients[0].Group);
        foreach (var client in clients.Take(2)) Assert.True(client.Group.TryRollBack());
        AssertGone(needles, clients);
    }

    [Fact]
    public void Secrets_of_groups_and_key_packages_that_nobody_disposed_are_nowhere_once_they_are_collected()
    {
        var needles = Drop();
        Collect();
        Assert.Empty(ProcessMemory.Find(needles));

        [MethodImpl(MethodImplOptions.NoInlining)]
        static List<Needle> Drop()
        {
            var clients = Client.InOneGroup(3);
            var staged = clients[0].Group.Commit(new CommitRequest { ForcePath = true });
            var received = ((ReceivedCommit)clients[1].Group.Process(staged.Message!)).Commit;
            var needles = EpochSecretsOf(clients[0].Group);
            needles.Add(new Needle("staged init", staged.Next!.Secrets.Init));
            needles.Add(new Needle("received init", received.Next!.Secrets.Init));
            needles.Add(new Needle("init key of a key package", clients[2].Package!.InitPrivateKey));
            return needles;
        }
    }

    [Fact]
    public void Bytes_in_use_are_not_wiped_when_their_owner_is_collected()
    {
        var span = Fill();
        Collect();
        Assert.False(span.ContainsAnyExcept((byte)7));

        [MethodImpl(MethodImplOptions.NoInlining)]
        static ReadOnlySpan<byte> Fill()
        {
            var secret = new SecretBytes(64);
            secret.Span.Fill(7);
            return secret;
        }
    }

    /// <summary>Finds what is dropped, lets its finalizers run, and those of what these leave behind.</summary>
    private static void Collect()
    {
        for (var i = 0; i < 3; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static List<Needle> EpochSecretsOf(Group group)
    {
        var secrets = group.Current.Secrets;
        var needles = new List<Needle>
        {
            new("init", secrets.Init), new("membership", secrets.MembershipKey), new("confirmation", secrets.ConfirmationKey),
                new("external", secrets.External),
        };
        foreach (var (node, key) in group.Current.Keys.ByNode) needles.Add(new Needle(TreeMath.IsLeaf(node) ? "leaf key" : $"key of node {node}", key));
        return needles;
    }

    private static void AssertGone(List<Needle> needles, Client[] clients)
    {
        foreach (var client in clients)
        {
            var state = client.Group.Serialize();
            Assert.All(needles, n => Assert.False(n.IsInPlain(state), n.Name));
        }
        Assert.Empty(ProcessMemory.Find(needles));
        GC.KeepAlive(clients);
    }
}
