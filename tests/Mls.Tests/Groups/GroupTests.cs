using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Groups;

[Trait("Spec", "RFC 9420, 11 and 12")]
public class GroupTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(7)]
    public void Members_of_every_suite_add_update_remove_and_talk(int suite)
    {
        var clients = Client.InOneGroup(4, (ushort)suite);
        Client.AssertTalk(clients);
        Client.Commits(clients[2], clients, new CommitRequest { ForcePath = true });
        Client.AssertAgree(clients);
        var removal = Client.Commits(clients[3], clients.Where(c => c != clients[1]), new CommitRequest { Proposals = [new RemoveProposal(1)] });
        Assert.Equal([1], removal.Removed.Select(m => m.Index));
        var staged = Assert.IsType<ReceivedCommit>(clients[1].Group.Process(Client.Wire(removal.Message!))).Commit;
        Assert.True(staged.RemovesSelf);
        clients[1].Group.Merge(staged);
        Assert.True(clients[1].Group.IsClosed);
        Client[] left = [clients[0], clients[2], clients[3]];
        Client.AssertAgree(left);
        Client.AssertTalk(left);
    }

    [Fact]
    public void Members_agree_in_every_epoch_of_random_walks()
    {
        for (var seed = 1; seed <= 3; seed++) Walk(new Random(seed), steps: 50, most: 10);
        Walk(new Random(33), steps: 25, most: 33);
    }

    private static void Walk(Random random, int steps, int most)
    {
        var members = new List<Client> { new Client("first").Creates() };
        for (var step = 0; step < steps; step++)
        {
            var committer = members[random.Next(members.Count)];
            var format = random.Next(2) == 0 ? WireFormat.PrivateMessage : WireFormat.PublicMessage;
            var proposals = new List<Proposal>();
            var joiners = new List<Client>();
            var leavers = new List<Client>();
            if (members.Count > 2 && random.Next(3) == 0)
            {
                var updater = members[random.Next(members.Count)];
                if (updater != committer)
                {
                    var update = updater.Group.ProposeUpdate(format);
                    foreach (var m in members.Where(m => m != updater)) Assert.IsType<ReceivedProposal>(m.Group.Process(Client.Wire(update)));
                }
            }
            if (members.Count > 3 && random.Next(3) == 0)
            {
                var leaver = members[random.Next(members.Count)];
                if (leaver != committer && leaver.Group.PendingProposals.All(p => p.Sender.Index != leaver.Group.OwnLeaf))
                {
                    leavers.Add(leaver);
                    if (random.Next(2) == 0)
                    {
                        var leave = leaver.Group.Propose(new SelfRemoveProposal());
                        foreach (var m in members.Where(m => m != leaver)) m.Group.Process(Client.Wire(leave));
                    }
                    else
                    {
                        proposals.Add(new RemoveProposal((uint)leaver.Group.OwnLeaf));
                    }
                }
            }
            for (var adds = members.Count < most ? random.Next(0, Math.Min(5, most - members.Count + 1)) : 0; adds > 0; adds--)
            {
                joiners.Add(new Client($"{step}.{adds}"));
                proposals.Add(new AddProposal(joiners[^1].NewPackage()));
            }
            if (random.Next(5) == 0) proposals.Add(new GroupContextExtensionsProposal([Client.MarmotExtensions[0], new(Client.GroupData, [1, (byte)step])]));

            var commit = committer.Group.Commit(new CommitRequest { Proposals = proposals, ForcePath = random.Next(2) == 0, Format = format });
            foreach (var member in members.Where(m => m != committer)) Assert.Equal(leavers.Contains(member), member.Follows(commit.Message!).RemovesSelf);
            committer.Group.Merge(commit);
            foreach (var joiner in joiners) joiner.Joins(commit.Welcome!);
            members.RemoveAll(leavers.Contains);
            members.AddRange(joiners);
            Client.AssertAgree(members);
            if (step % 20 == 0) Client.AssertTalk(members);
        }
    }

    [Fact]
    public void A_staged_commit_shows_what_it_changes_before_it_is_merged()
    {
        var clients = Client.InOneGroup(3);
        var newcomer = new Client("new");
        var extensions = new[] { Client.MarmotExtensions[0], new Extension(Client.GroupData, [9]) };
        var commit = clients[0].Group.Commit(new CommitRequest
        {
            Proposals = [new RemoveProposal(2), new AddProposal(newcomer.NewPackage()), new GroupContextExtensionsProposal(extensions)],
        });
        var staged = Assert.IsType<ReceivedCommit>(clients[1].Group.Process(Client.Wire(commit.Message!))).Commit;
        Assert.Equal(1ul, clients[1].Group.Epoch);
        Assert.Equal(0, staged.Committer);
        Assert.Equal("client 2", Text(staged.Removed.Single().Leaf));
        Assert.Equal("new", Text(staged.Added.Single().Leaf));
        Assert.Equal([9], staged.ExtensionsAfter[1].Data);
        Assert.Equal([0, 2, 7], staged.ExtensionsBefore[1].Data);
        Assert.True(staged.HasPath);
        clients[1].Group.Discard(staged);
        Assert.Equal(1ul, clients[1].Group.Epoch);
        clients[1].Follows(commit.Message!);
        Assert.Equal(2ul, clients[1].Group.Epoch);

        static string Text(LeafNode leaf) => System.Text.Encoding.UTF8.GetString(leaf.Credential.Content);
    }

    [Fact]
    public void A_discarded_commit_leaves_the_group_able_to_go_on()
    {
        var clients = Client.InOneGroup(3);
        var lost = clients[0].Group.Commit(new CommitRequest { ForcePath = true });
        Assert.Equal(MlsError.WrongState, Client.Refusal(() => clients[0].Group.Commit()));
        clients[0].Group.Discard(lost);
        Client.Commits(clients[1], clients, new CommitRequest { ForcePath = true });
        Client.AssertAgree(clients);
        Client.Commits(clients[0], clients, new CommitRequest { ForcePath = true });
        Client.AssertAgree(clients);
    }

    [Fact]
    public void A_lost_race_is_rolled_back_and_the_winner_followed()
    {
        var clients = Client.InOneGroup(4);
        var winner = clients[0].Group.Commit(new CommitRequest { ForcePath = true });
        var loser = clients[1].Group.Commit(new CommitRequest { Proposals = [new RemoveProposal(3)] });
        clients[1].Group.Merge(loser);
        clients[2].Follows(loser.Message!);
        Assert.True(clients[2].Group.CanRollBack);
        Assert.True(clients[1].Group.TryRollBack());
        Assert.True(clients[2].Group.TryRollBack());
        clients[0].Group.Merge(winner);
        foreach (var client in clients.Skip(1)) client.Follows(winner.Message!);
        Client.AssertAgree(clients);
        Client.AssertTalk(clients);
        clients[2].Group.ForgetRollback();
        Assert.False(clients[2].Group.TryRollBack());
    }

    [Fact]
    public void After_a_rollback_the_same_commit_can_be_followed_again_and_its_key_goes_when_the_window_closes()
    {
        var clients = Client.InOneGroup(3);
        var commit = clients[0].Group.Commit(new CommitRequest { ForcePath = true });
        clients[0].Group.Merge(commit);
        clients[1].Follows(commit.Message!);
        Assert.True(clients[1].Group.TryRollBack());
        var ended = clients[1].Group.Current;
        clients[1].Follows(commit.Message!);
        clients[2].Follows(commit.Message!);
        Client.AssertAgree(clients);
        Assert.NotEmpty(ended.SecretTree.Find(0, false, 0).Key.ToArray());
        clients[1].Group.ForgetRollback();
        Assert.Equal(MlsError.GenerationUsed, Client.Refusal(() => ended.SecretTree.Find(0, false, 0)));
    }

    [Fact]
    public void Late_application_messages_open_for_five_epochs_and_not_longer()
    {
        var clients = Client.InOneGroup(2);
        var late = clients[0].Group.Protect("late"u8);
        var tooLate = clients[0].Group.Protect("too late"u8);
        for (var i = 0; i < 5; i++) Client.Commits(clients[i % 2], clients, new CommitRequest { ForcePath = true });
        var received = Assert.IsType<ReceivedApplication>(clients[1].Group.Process(Client.Wire(late)));
        Assert.Equal("late"u8.ToArray(), received.Data);
        Assert.Equal(1ul, received.Epoch);
        Client.Commits(clients[0], clients, new CommitRequest { ForcePath = true });
        Assert.Equal(MlsError.WrongEpoch, Client.Refusal(() => clients[1].Group.Process(Client.Wire(tooLate))));
    }

    [Fact]
    public void Past_epochs_are_forgotten_by_age()
    {
        var clients = Client.InOneGroup(2);
        var late = clients[0].Group.Protect("late"u8);
        var commit = clients[0].Group.Commit();
        var time = DateTimeOffset.UnixEpoch.AddDays(20000);
        clients[1].Group.Merge(Assert.IsType<ReceivedCommit>(clients[1].Group.Process(Client.Wire(commit.Message!))).Commit, time);
        clients[1].Group.ForgetPastEpochs(time);
        Assert.Equal([2ul, 1ul], clients[1].Group.KnownEpochs);
        clients[1].Group.ForgetPastEpochs(time.AddSeconds(1));
        Assert.Equal(MlsError.WrongEpoch, Client.Refusal(() => clients[1].Group.Process(Client.Wire(late))));
    }

    [Fact]
    public void Messages_open_out_of_order_and_only_once()
    {
        var clients = Client.InOneGroup(2);
        var messages = Enumerable.Range(0, 20).Select(i => clients[0].Group.Protect([(byte)i])).ToArray();
        foreach (var i in (int[])[5, 0, 19, 7, 6])
        {
            Assert.Equal([(byte)i], Assert.IsType<ReceivedApplication>(clients[1].Group.Process(Client.Wire(messages[i]))).Data);
            Assert.Equal(MlsError.GenerationUsed, Client.Refusal(() => clients[1].Group.Process(Client.Wire(messages[i]))));
        }
        Assert.Equal(MlsError.OwnMessage, Client.Refusal(() => clients[0].Group.Process(Client.Wire(messages[1]))));
    }

    [Fact]
    public void Someone_joins_by_an_external_commit_and_replaces_his_old_leaf()
    {
        var clients = Client.InOneGroup(3);
        var newcomer = new Client("new");
        newcomer.NewPackage();
        (newcomer.Group, var commit) = Group.JoinExternally(Client.Wire(clients[1].Group.GroupInfo()), newcomer.Package!);
        foreach (var client in clients) Assert.Equal(SenderType.NewMemberCommit, client.Follows(commit).Sender.Type);
        Client.AssertAgree([.. clients, newcomer]);
        Client.AssertTalk([.. clients, newcomer]);

        clients[2].NewPackage();
        (clients[2].Group, commit) = Group.JoinExternally(Client.Wire(clients[0].Group.GroupInfo()), clients[2].Package!, replaces: clients[2].Group.OwnLeaf);
        foreach (var client in (Client[])[clients[0], clients[1], newcomer]) client.Follows(commit);
        Client.AssertAgree([.. clients, newcomer]);
    }

    [Fact]
    public void External_and_resumption_psks_are_mixed_in_and_unknown_ones_refused()
    {
        var rules = new GroupRules { ExternalPsk = id => id.AsSpan().SequenceEqual("psk"u8) ? [1, 2, 3] : null };
        var clients = Client.InOneGroup(3, rules: rules);
        var external = new PreSharedKeyProposal(PreSharedKeyId.External("psk"u8.ToArray(), new byte[32]));
        var resumption = new PreSharedKeyProposal(PreSharedKeyId.Resumption(ResumptionUsage.Application, "group"u8.ToArray(), 1, new byte[32]));
        var newcomer = new Client("new", rules: rules);
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [external, resumption] });
        Client.AssertAgree(clients);
        var commit = Client.Commits(clients[0], clients, new CommitRequest { Proposals = [external, new AddProposal(newcomer.NewPackage())] });
        newcomer.Joins(commit.Welcome!);
        Client.AssertAgree([.. clients, newcomer]);
        var unknown = new PreSharedKeyProposal(PreSharedKeyId.External("other"u8.ToArray(), new byte[32]));
        Assert.Equal(MlsError.BadPsk, Client.Refusal(() => clients[0].Group.Commit(new CommitRequest { Proposals = [unknown] })));
    }

    [Fact]
    public void A_reinitialised_group_closes_and_goes_on_as_another()
    {
        var clients = Client.InOneGroup(2);
        var reInit = new ReInitProposal("second"u8.ToArray(), 1, 1, Client.MarmotExtensions);
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [reInit] });
        Assert.All(clients, c => Assert.True(c.Group.IsClosed));
        Assert.Equal(MlsError.GroupClosed, Client.Refusal(() => clients[0].Group.Protect("x"u8)));
        var old = clients.Select(c => c.Group).ToArray();
        clients[0].Creates("second");
        var commit = clients[0].Group.Commit(new CommitRequest { Predecessor = old[0], Proposals = [new AddProposal(clients[1].NewPackage())] });
        clients[0].Group.Merge(commit);
        Assert.Equal(MlsError.BadPsk, Client.Refusal(() => clients[1].Joins(commit.Welcome!)));
        clients[1].Joins(commit.Welcome!, old[1]);
        Client.AssertAgree(clients);

        var wrong = new Client("wrong").Creates("third").Group;
        Assert.Equal(MlsError.BadReInit, Client.Refusal(() => wrong.Commit(new CommitRequest { Predecessor = old[0] })));
    }

    [Fact]
    public void A_successor_is_not_made_otherwise_than_its_reinit_says()
    {
        var clients = Client.InOneGroup(3);
        Client.Commits(clients[0], clients, new CommitRequest { Proposals = [new ReInitProposal("second"u8.ToArray(), 1, 1, Client.MarmotExtensions)] });
        var old = clients[0].Group;
        var all = clients.Skip(1).Select(c => new AddProposal(c.NewPackage())).ToArray();
        clients[0].Creates("second");

        // Someone is left out; the first commit changes what was agreed; a second group is named as predecessor.
        Assert.Equal(MlsError.BadReInit, Refusal(all[0]));
        Assert.Equal(MlsError.BadReInit, Refusal([.. all, new GroupContextExtensionsProposal([])]));
        Assert.Equal(MlsError.BadPsk,
            Refusal([.. all, new PreSharedKeyProposal(PreSharedKeyId.Resumption(ResumptionUsage.ReInit, "group"u8.ToArray(), 1, new byte[32]))]));
        Assert.Equal(MlsError.BadPsk,
            Refusal([.. all, new PreSharedKeyProposal(PreSharedKeyId.Resumption(ResumptionUsage.Branch, "group"u8.ToArray(), 1, new byte[32]))]));
        clients[0].Group.Discard(clients[0].Group.Commit(new CommitRequest { Predecessor = old, Proposals = all }));
        old.Dispose();
        Assert.Equal(MlsError.GroupClosed, Refusal(all));

        MlsError Refusal(params Proposal[] proposals) =>
            Client.Refusal(() => clients[0].Group.Commit(new CommitRequest { Predecessor = old, Proposals = proposals }));
    }

    [Fact]
    public void A_subgroup_branches_off()
    {
        var clients = Client.InOneGroup(3);
        var old = clients.Select(c => c.Group).ToArray();
        clients[0].Creates("branch");
        var commit = clients[0].Group.Commit(new CommitRequest { Predecessor = old[0], Proposals = [new AddProposal(clients[1].NewPackage())] });
        clients[0].Group.Merge(commit);
        clients[1].Joins(commit.Welcome!, old[1]);
        Client.AssertAgree(clients.Take(2));
        Assert.False(old[0].IsClosed);
    }

    [Fact]
    public void Nobody_else_is_added_to_a_branch()
    {
        var clients = Client.InOneGroup(2);
        var old = clients[0].Group;
        clients[0].Creates("branch");
        var request = new CommitRequest { Predecessor = old, Proposals = [new AddProposal(new Client("stranger").NewPackage())] };
        Assert.Equal(MlsError.CredentialRefused, Client.Refusal(() => clients[0].Group.Commit(request)));
    }

    [Fact]
    public void Of_proposals_that_exclude_each_other_a_commit_takes_one()
    {
        var clients = Client.InOneGroup(6);
        var newcomer = new Client("new");
        foreach (var (sender, proposal) in new (int, Proposal)[]
        {
            (2, new RemoveProposal(3)), (1, new RemoveProposal(3)), (4, new AddProposal(newcomer.NewPackage())), (1, new AddProposal(newcomer.NewPackage())),
            (1, new ReInitProposal([1], 1, 1, [])), (2, new GroupContextExtensionsProposal(Client.MarmotExtensions)),
            (4, new GroupContextExtensionsProposal([])),
        })
        {
            Deliver(clients[sender].Group.Propose(proposal), sender);
        }
        foreach (var updater in (int[])[3, 4, 4, 5]) Deliver(clients[updater].Group.ProposeUpdate(), updater);
        Deliver(clients[5].Group.Propose(new SelfRemoveProposal()), 5);

        var commit = clients[0].Group.Commit();
        Assert.Equal(new (uint, ushort)[] { (2, ProposalType.Remove), (4, ProposalType.Add), (2, ProposalType.GroupContextExtensions), (4, ProposalType.Update),
            (5, ProposalType.SelfRemove) },
            commit.Proposals.Select(p => (p.Sender.Index, p.Proposal.Type)));
        var last = clients[4].Group.PendingProposals.Select(p => p.Proposal).OfType<UpdateProposal>()
            .Last(u => u.Leaf.SignatureKey.AsSpan().SequenceEqual(clients[4].Signature.PublicKey));
        Assert.Equal(last.Leaf.EncryptionKey, commit.Proposals.Select(p => p.Proposal).OfType<UpdateProposal>().Single().Leaf.EncryptionKey);
        clients[0].Group.Merge(commit);
        Client[] left = [clients[1], clients[2], clients[4]];
        foreach (var client in left) client.Follows(commit.Message!);
        Assert.Equal(newcomer.Package!.KeyPackage.Leaf.Credential.Content, commit.Added.Single().Leaf.Credential.Content);
        Client.AssertAgree([clients[0], .. left]);

        void Deliver(MlsMessage message, int sender)
        {
            foreach (var client in clients.Where((_, i) => i != sender)) client.Group.Process(Client.Wire(message));
        }
    }

    [Fact]
    public void Proposals_that_may_not_be_committed_do_not_stop_those_that_may()
    {
        var clients = Client.InOneGroup(3);
        var good = new Client("good");
        foreach (var proposal in (Proposal[])
        [
            new RemoveProposal(0), new AddProposal(new Client("cannot").NewPackage(Capabilities.Of([], []))), new AddProposal(clients[2].NewPackage()),
            new PreSharedKeyProposal(PreSharedKeyId.External("unknown"u8.ToArray(), new byte[32])), new CustomProposal(0x1234, []),
            new AddProposal(good.NewPackage()),
        ])
        {
            var message = clients[1].Group.Propose(proposal);
            foreach (var receiver in (int[])[0, 2]) clients[receiver].Group.Process(Client.Wire(message));
        }
        var commit = Client.Commits(clients[0], clients, new CommitRequest());
        Assert.Equal("good"u8.ToArray(), Assert.IsType<AddProposal>(Assert.Single(commit.Proposals).Proposal).KeyPackage.Leaf.Credential.Content);
        good.Joins(commit.Welcome!);
        Client.AssertAgree([.. clients, good]);
    }

    [Fact]
    public void What_the_caller_chooses_himself_is_refused_when_it_does_not_go_together()
    {
        var clients = Client.InOneGroup(3);
        clients[0].Group.Process(Client.Wire(clients[1].Group.Propose(new RemoveProposal(0))));
        Assert.Equal(MlsError.RemoveOfCommitter, Client.Refusal(() => clients[0].Group.Commit(new CommitRequest { IncludePending = (_, _) => true })));
        Assert.Equal(MlsError.RemoveOfCommitter, Client.Refusal(() => clients[0].Group.Commit(new CommitRequest { Proposals = [new RemoveProposal(0)] })));
    }

    [Fact]
    public void External_senders_propose_and_members_commit_it()
    {
        var service = new Client("service");
        var extensions = new[] { Client.MarmotExtensions[0], Client.MarmotExtensions[1],
            ExternalSender.ToExtension([new ExternalSender(service.Signature.PublicKey, Credential.Basic("service"u8))]) };
        var clients = Client.InOneGroup(3, extensions: extensions);
        var framed = new FramedContent
        {
            GroupId = "group"u8.ToArray(),
            Epoch = 1,
            Sender = new Sender(SenderType.External, 0),
            AuthenticatedData = [],
            ContentType = ContentType.Proposal,
            Proposal = new RemoveProposal(2),
        };
        var content = new AuthenticatedContent
        {
            WireFormat = WireFormat.PublicMessage,
            Content = framed,
            Signature = AuthenticatedContent.Sign(service.Suite, WireFormat.PublicMessage, framed, [], service.SigningKey),
        };
        var message = new MlsMessage(WireFormat.PublicMessage, new PublicMessage(content, null));
        foreach (var client in clients)
        {
            Assert.Equal(SenderType.External, Assert.IsType<ReceivedProposal>(client.Group.Process(Client.Wire(message))).Sender.Type);
        }

        Client.Commits(clients[0], clients.Take(2), new CommitRequest());
        Client.AssertAgree(clients.Take(2));
        Assert.Equal(2, clients[0].Group.Members.Count);
    }

    [Fact]
    public void Application_messages_wait_while_a_proposal_is_pending_unless_told_otherwise()
    {
        var clients = Client.InOneGroup(2);
        clients[0].Group.ProposeUpdate();
        Assert.Equal(MlsError.ProposalPending, Client.Refusal(() => clients[0].Group.Protect("x"u8)));
        Assert.NotNull(clients[0].Group.Protect("x"u8, evenWithPendingProposals: true));
    }

    [Fact]
    public void A_tree_given_outside_the_welcome_is_used_and_a_missing_one_refused()
    {
        var alice = new Client("alice").Creates();
        var bob = new Client("bob");
        var commit = alice.Group.Commit(new CommitRequest { Proposals = [new AddProposal(bob.NewPackage())], TreeInWelcome = false });
        alice.Group.Merge(commit);
        Assert.Equal(MlsError.MissingTree, Client.Refusal(() => bob.Joins(commit.Welcome!)));
        bob.Group = Group.Join(Client.Wire(commit.Welcome!), bob.Package!, new JoinRequest { RatchetTree = alice.Group.RatchetTreeBytes() });
        Client.AssertAgree([alice, bob]);
    }
}
