using System.Globalization;
using System.Text.Json;
using Marmot.Client.Convergence;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Encoding;
using Xunit.Abstractions;

namespace Marmot.Client.Tests.Convergence;

/// <summary>The order in which branches of a group are compared: docs/conformance/adopted-convergence.md.</summary>
public sealed class BranchSelectorTests(ITestOutputHelper output)
{
    private static readonly ConvergencePolicy Policy = ConvergencePolicy.Adopted;

    public static TheoryData<string> Cases => [.. VectorFile.Read("adopted-selector-cases.json").EnumerateArray().Select(one => one.Text("name"))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Decides_the_published_cases_for_their_reason(string name)
    {
        var one = VectorFile.Read("adopted-selector-cases.json").EnumerateArray().Single(one => one.Text("name") == name);
        var policy = one.GetProperty("policy");
        var branches = new Dictionary<string, Branch>(StringComparer.Ordinal);
        var messages = new List<HeldMessage>();
        ulong fork = 0;
        foreach (var branch in one.GetProperty("branches").EnumerateArray())
        {
            fork = branch.GetProperty("fork_epoch").GetUInt64();
            string id = branch.Text("id");
            var commits = new List<BranchCommit>();
            for (ulong epoch = fork + 1; epoch <= branch.GetProperty("tip_epoch").GetUInt64(); epoch++)
            {
                bool isPrivileged = branch.TryGetProperty("tip_priority", out var priority) && priority.GetString() == "privileged";
                var committer = Padded(branch.TryGetProperty("tip_committer", out var who) ? who.GetString()! : "");
                commits.Add(new BranchCommit(epoch, Padded($"{id} {epoch}"), committer, isPrivileged,
                    new Bytes32([.. Convert.FromHexString(branch.Text("tip_digest")), .. new byte[31]])));
            }

            branches[id] = new Branch(commits);
            messages.AddRange(branch.GetProperty("app_witnesses").EnumerateArray()
                .Select(witness => new HeldMessage(Padded($"{id} {witness.GetProperty("epoch").GetUInt64()}"), Padded(witness.Text("sender")))));
        }

        var decision = BranchSelector.Select(fork, one.GetProperty("current_tip_epoch").GetUInt64(), [.. branches.Values], messages, new ConvergencePolicy
        {
            MaxRewindCommits = policy.GetProperty("max_rewind_commits").GetUInt64(),
            WitnessQuorumSenders = policy.GetProperty("witness_quorum_senders_per_epoch").GetInt32(),
            WitnessQuorumEpochs = policy.GetProperty("witness_quorum_epochs").GetInt32(),
            MaxWitnessOverrideDepth = policy.GetProperty("max_witness_override_depth").GetUInt64(),
        });
        Assert.Equal(one.GetProperty("expected").Text("branch"), branches.Single(pair => pair.Value == decision.Selected).Key);
        Assert.Equal(one.GetProperty("expected").Text("reason"), decision.Rule switch
        {
            BranchRule.EffectiveDepth => "effective_depth",
            BranchRule.WitnessQuorum => "quorum_tie",
            BranchRule.WitnessScore => "witness_score_tie",
            BranchRule.Priority => "priority_tie",
            BranchRule.Committer => "committer_tie",
            BranchRule.Digest => "digest_tie",
            _ => decision.Rule.ToString(),
        });
    }

    [Fact]
    public void Decides_every_recorded_pass_of_MDK_as_MDK_did_and_for_its_reason()
    {
        int decisions = 0;
        foreach (var fork in VectorFile.Read("adopted-forks.json").GetProperty("forks").EnumerateObject())
        {
            foreach (var recorded in fork.Value.GetProperty("runs").EnumerateArray().SelectMany(run => run.GetProperty("decisions").EnumerateArray()))
            {
                var branches = new Dictionary<string, Branch>(StringComparer.Ordinal);
                var messages = new List<HeldMessage>();
                ulong forkEpoch = 0;
                foreach (var candidate in recorded.GetProperty("candidates").EnumerateArray())
                {
                    forkEpoch = candidate.GetProperty("fork_epoch").GetUInt64();
                    string id = candidate.Text("id");
                    ulong tip = candidate.GetProperty("tip_epoch").GetUInt64();
                    branches[id] = new Branch([.. Enumerable.Range((int)forkEpoch + 1, (int)(tip - forkEpoch)).Select(epoch => new BranchCommit(
                        (ulong)epoch, State(id, (ulong)epoch), candidate.Key("tip_committer_pubkey_hex"), candidate.Text("tip_priority") == "privileged",
                        candidate.Key("tip_digest")))]);

                    // The score is all that was recorded of the witnesses; up to two, it stands for as many accounts in the last epoch.
                    int score = candidate.GetProperty("app_witness_score").GetInt32();
                    Assert.InRange(score, 0, 2);
                    messages.AddRange(Enumerable.Range(0, score).Select(i => new HeldMessage(State(id, tip), Padded($"{i}"))));
                }

                var decision = BranchSelector.Select(forkEpoch, recorded.GetProperty("current_tip_epoch").GetUInt64(), [.. branches.Values], messages, Policy);
                Assert.Equal(recorded.Text("selected"), branches.Single(pair => pair.Value == decision.Selected).Key);
                Assert.Equal(recorded.Text("decided_by"), decision.Rule switch
                {
                    BranchRule.EffectiveDepth => "effective_commit_depth",
                    BranchRule.WitnessQuorum => "witness_quorum_met",
                    BranchRule.WitnessScore => "app_witness_score",
                    BranchRule.Priority => "tip_priority",
                    BranchRule.Committer => "tip_committer",
                    BranchRule.Digest => "tip_digest",
                    _ => decision.Rule.ToString(),
                });
                foreach (var candidate in recorded.GetProperty("candidates").EnumerateArray()
                    .Where(candidate => candidate.Text("id") == recorded.Text("selected")))
                {
                    Assert.Equal(candidate.GetProperty("effective_commit_depth").GetUInt64(), decision.Score.EffectiveDepth);
                    Assert.Equal(candidate.GetProperty("valid_commit_depth").GetUInt64(), decision.Score.Depth);
                    Assert.Equal(candidate.GetProperty("witness_quorum_met").GetBoolean(), decision.Score.HasQuorum);
                }

                decisions++;
            }
        }

        Assert.Equal(31, decisions);
    }

    [Fact]
    public void A_deeper_branch_wins_over_everything_else() =>
        AssertWins(BranchRule.EffectiveDepth, Line("a", 3), Line("b", 2, privileged: true, committer: 0, digest: 0), Heard("b", 2, "x"));

    [Fact]
    public void A_quorum_is_worth_one_commit_and_wins_over_the_branch_that_is_as_deep_then()
    {
        AssertWins(BranchRule.WitnessQuorum, Line("a", 1), Line("b", 2, privileged: true), Heard("a", 1, "x", "y"));
        AssertWins(BranchRule.EffectiveDepth, Line("a", 3, digest: 9), Line("b", 1), Heard("b", 1, "x", "y"));
        AssertWins(BranchRule.WitnessQuorum, Line("a", 3), Line("b", 4, privileged: true), [.. Heard("a", 1, "x", "y")]);
    }

    [Fact]
    public void With_quorums_on_both_sides_more_witnesses_win_and_in_an_epoch_no_more_than_a_quorum_count()
    {
        AssertWins(BranchRule.WitnessScore, Line("a", 2), Line("b", 2, privileged: true),
            [.. Heard("a", 1, "x", "y"), .. Heard("a", 2, "x"), .. Heard("b", 1, "x", "y", "z")]);
        AssertWins(BranchRule.WitnessScore, Line("a", 1), Line("b", 1, privileged: true), Heard("a", 1, "x", "x", "x"));
    }

    [Fact]
    public void A_last_commit_that_needs_admin_rights_wins_over_an_ordinary_one() =>
        AssertWins(BranchRule.Priority, Line("a", 1, privileged: true, committer: 9, digest: 9), Line("b", 1, committer: 0, digest: 0), []);

    [Fact]
    public void The_smaller_account_of_the_last_committer_wins_then() =>
        AssertWins(BranchRule.Committer, Line("a", 2, committer: 1, digest: 9), Line("b", 2, committer: 2, digest: 0), []);

    [Fact]
    public void The_smaller_digest_of_the_last_commit_wins_at_the_end() => AssertWins(BranchRule.Digest, Line("a", 2, digest: 1), Line("b", 2, digest: 2), []);

    [Fact]
    public void Witnesses_count_in_the_epochs_of_their_own_branch_no_further_back_than_the_window_and_not_in_the_state_of_the_fork()
    {
        // Spoken in the fork's state, and six epochs before the tip.
        var old = new[] { new HeldMessage(State("fork", 0), Padded("x")), new HeldMessage(State("fork", 0), Padded("y")),
            new HeldMessage(State("b", 1), Padded("x")), new HeldMessage(State("b", 1), Padded("y")) };
        AssertWins(BranchRule.Digest, Line("a", 7, digest: 1), Line("b", 7, digest: 2), old);
        AssertWins(BranchRule.EffectiveDepth, Line("b", 6, digest: 2), Line("a", 6, digest: 1), old);
    }

    [Fact]
    public void A_fork_further_back_than_may_be_rewound_changes_nothing()
    {
        var own = Line("own", 6);
        var deeper = Line("other", 9);
        var decision = BranchSelector.Select(0, ownTip: 6, [deeper, own], [], Policy, own);
        Assert.Equal((own, BranchRule.OutsideWindow), (decision.Selected, decision.Rule));
        decision = BranchSelector.Select(0, ownTip: 5, [deeper, own], [], Policy, own);
        Assert.Equal((deeper, BranchRule.EffectiveDepth), (decision.Selected, decision.Rule));
    }

    /// <summary>Random inputs tried; set to a million for a full run.</summary>
    private static readonly int Inputs =
        int.TryParse(Environment.GetEnvironmentVariable("MARMOT_SELECTOR_INPUTS"), NumberStyles.None, CultureInfo.InvariantCulture, out int inputs) ? inputs
            : 60_000;

    [Fact]
    public void Agrees_with_a_slow_and_obvious_model_on_random_inputs()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var dice = new Random(seed);
        var seen = new Dictionary<BranchRule, int>();
        int inputs = 0;
        for (; inputs < Inputs; inputs++)
        {
            // Few values, so that every rule gets its turn.
            var branches = Enumerable.Range(0, dice.Next(1, 5))
                .Select(i => Line($"{i}", dice.Next(1, 8), dice.Next(2) == 0, dice.Next(2), dice.Next(3) * 10 + i)).ToList();
            var messages = Enumerable.Range(0, dice.Next(9))
                .Select(_ => new HeldMessage(State($"{dice.Next(4)}", (ulong)dice.Next(0, 8)), Account(dice.Next(3)))).ToList();
            ulong ownTip = (ulong)dice.Next(0, 8);
            var own = branches[dice.Next(branches.Count)];
            var decision = BranchSelector.Select(0, ownTip, branches, messages, Policy, own);
            var (expected, rule) = SlowModel.Select(0, ownTip, branches, messages, own);
            Assert.True(decision.Selected == expected && decision.Rule == rule, $"input {inputs}: {decision.Rule}, the model says {rule}");
            seen[rule] = seen.GetValueOrDefault(rule) + 1;
        }

        output.WriteLine($"{inputs} inputs: {string.Join(", ", seen.Select(pair => $"{pair.Key} {pair.Value}"))}");
        Assert.All(Enum.GetValues<BranchRule>(), rule => Assert.True(seen.GetValueOrDefault(rule) > 0, $"{rule} never decided"));
    }

    private static void AssertWins(BranchRule rule, Branch winner, Branch loser, HeldMessage[] messages)
    {
        foreach (var order in new[] { new[] { winner, loser }, [loser, winner] })
        {
            var decision = BranchSelector.Select(0, ownTip: 0, order, messages, Policy);
            Assert.Equal((winner, rule), (decision.Selected, decision.Rule));
        }
    }

    private static Branch Line(string name, int depth, bool privileged = false, int committer = 5, int digest = 5) =>
        new([
            .. Enumerable.Range(1, depth)
                .Select(epoch => new BranchCommit((ulong)epoch, State(name, (ulong)epoch), Account(committer), privileged, Account(digest)))
        ]);

    private static HeldMessage[] Heard(string branch, int epoch, params string[] senders) =>
        [.. senders.Select(sender => new HeldMessage(State(branch, (ulong)epoch), Padded(sender)))];

    private static Bytes32 State(string branch, ulong epoch) => Padded($"{branch} {epoch}");

    private static Bytes32 Account(int number) => new([(byte)number, .. new byte[31]]);

    private static Bytes32 Padded(string text)
    {
        byte[] bytes = new byte[32];
        byte[] source = System.Text.Encoding.UTF8.GetBytes(text);
        (source.Length <= 32 ? source : System.Security.Cryptography.SHA256.HashData(source)).CopyTo(bytes, 0);
        return new Bytes32(bytes);
    }

    /// <summary>The rules one after the other: each keeps the best of those that are left, until one is left.</summary>
    private static class SlowModel
    {
        public static (Branch Selected, BranchRule Rule) Select(ulong fork, ulong ownTip, List<Branch> branches, List<HeldMessage> messages, Branch own)
        {
            if (ownTip > fork && ownTip - fork > 5)
            {
                return (own, BranchRule.OutsideWindow);
            }

            if (branches.Count == 1)
            {
                return (branches[0], BranchRule.OnlyCandidate);
            }

            var rules = new (BranchRule Rule, Func<Branch, IComparable> Best)[]
            {
                (BranchRule.EffectiveDepth, branch => Depth(branch, fork) + (Quorum(branch, fork, messages) ? 1 : 0)),
                (BranchRule.WitnessQuorum, branch => Quorum(branch, fork, messages) ? 1 : 0),
                (BranchRule.WitnessScore, branch => Witnesses(branch, fork, messages).Sum(count => Math.Min(count, 2))),
                (BranchRule.Priority, branch => branch.Tip.IsPrivileged ? 1 : 0),
                (BranchRule.Committer, branch => Negated(branch.Tip.Committer)),
                (BranchRule.Digest, branch => Negated(branch.Tip.Digest)),
            };
            var left = branches;
            foreach (var (rule, best) in rules)
            {
                var most = left.Max(best)!;
                left = [.. left.Where(branch => best(branch).CompareTo(most) == 0)];
                if (left.Count == 1)
                {
                    return (left[0], rule);
                }
            }

            throw new InvalidOperationException("two branches with one tip");
        }

        private static int Depth(Branch branch, ulong fork) => (int)(branch.Commits.Max(commit => commit.Epoch) - fork);

        private static bool Quorum(Branch branch, ulong fork, List<HeldMessage> messages) => Witnesses(branch, fork, messages).Any(count => count >= 2);

        // For each epoch of the branch: how many accounts spoke in its state.
        private static List<int> Witnesses(Branch branch, ulong fork, List<HeldMessage> messages)
        {
            ulong tip = branch.Commits.Max(commit => commit.Epoch);
            return [.. branch.Commits.Where(commit => commit.Epoch > fork && commit.Epoch + 5 >= tip)
                .Select(commit => messages.Where(message => message.State == commit.State).Select(message => message.Sender).Distinct().Count())];
        }

        // The smallest first.
        private static string Negated(Bytes32 value) => Convert.ToHexString(value.Span.ToArray().Select(one => (byte)(255 - one)).ToArray());
    }
}
