using System.Text.Json;
using Marmot.Client.Convergence;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Encoding;
using Xunit.Abstractions;

namespace Marmot.Client.Tests.Convergence;

/// <summary>Recorded forks and group lives at the level of states: receivers get what the recorded ones got and must stand where the rules put them.</summary>
public sealed class BranchTreeTests(ITestOutputHelper output)
{
    public static TheoryData<string> Forks => [.. VectorFile.Read("adopted-forks.json").GetProperty("forks").EnumerateObject().Select(one => one.Name)];

    public static TheoryData<string> Lives => [.. VectorFile.Read("adopted-forks.json").GetProperty("lives").EnumerateObject().Select(one => one.Name)];

    [Theory]
    [MemberData(nameof(Forks))]
    public void Receivers_of_a_recorded_fork_end_where_the_recorded_ones_did(string name)
    {
        var fork = VectorFile.Read("adopted-forks.json").GetProperty("forks").GetProperty(name);
        foreach (var run in fork.GetProperty("runs").EnumerateArray())
        {
            var order = run.GetProperty("order").EnumerateArray().Select(number => number.GetInt32()).ToList();
            var receiver = new Receiver(fork, fork.Text("parent"));

            // What is not in the order came before it, commit by commit.
            foreach (int number in receiver.Numbers.Except(order))
            {
                receiver.Give(number);
                receiver.Resolve();
            }

            order.ForEach(receiver.Give);
            receiver.Resolve();

            // MDK keeps no states of epochs it ran through in one pass, and stops; with one of every epoch the deeper branch is followed to its end.
            string expected = (name, run.Text("who")) == ("fork-late-outside", "frank") ? "epoch9" : run.Text("selected");
            Assert.Equal(expected, receiver.Label);
        }
    }

    [Theory]
    [MemberData(nameof(Lives))]
    public void Receivers_of_a_recorded_life_are_in_the_recorded_state_whenever_it_settled(string name)
    {
        var life = VectorFile.Read("adopted-forks.json").GetProperty("lives").GetProperty(name);
        int compared = 0;
        foreach (var member in life.GetProperty("deliveries").EnumerateObject())
        {
            Receiver? receiver = null;
            string? recorded = null;
            foreach (var delivery in member.Value.EnumerateArray())
            {
                if (delivery.Text("state") is var state and not "unchanged")
                {
                    recorded = state;
                }

                if (receiver is null)
                {
                    receiver = new Receiver(life, recorded!); // joined
                    continue;
                }

                if (delivery.TryGetProperty("step", out var step))
                {
                    receiver.Give(step.GetInt32());
                }

                if (delivery.TryGetProperty("settled", out _))
                {
                    receiver.Resolve();
                    Assert.Equal(recorded, receiver.Label);
                    compared++;
                }
            }

            Assert.Equal(life.Text("agreed"), receiver!.Label);
        }

        output.WriteLine($"{compared} states compared");
        Assert.True(compared > 20);
    }

    [Theory]
    [MemberData(nameof(Forks))]
    public void In_any_order_within_one_pass_a_fork_ends_alike(string name)
    {
        var fork = VectorFile.Read("adopted-forks.json").GetProperty("forks").GetProperty(name);
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var dice = new Random(seed);
        string? label = null;
        for (int i = 0; i < 300; i++)
        {
            var receiver = new Receiver(fork, fork.Text("parent"));
            int[] numbers = [.. receiver.Numbers];
            dice.Shuffle(numbers);
            foreach (int number in numbers)
            {
                receiver.Give(number);
            }

            receiver.Resolve();
            Assert.Equal(label ??= receiver.Label, receiver.Label);
        }
    }

    [Fact]
    public void A_state_that_left_the_window_takes_no_commits_and_one_of_every_epoch_passed_does()
    {
        var tree = new BranchTree(ConvergencePolicy.Adopted, State(0, 0), 0);
        for (int epoch = 1; epoch <= 9; epoch++)
        {
            Assert.True(tree.TryAdd(State(0, epoch - 1), Commit(0, epoch)));
        }

        tree.Resolve([]); // nine epochs in one pass
        Assert.Equal(9ul, tree.TipEpoch);
        for (int epoch = 4; epoch < 9; epoch++)
        {
            Assert.True(tree.TryAdd(State(0, epoch), Commit(epoch, epoch + 1)), $"the state of epoch {epoch} is kept");
        }

        Assert.False(tree.TryAdd(State(0, 3), Commit(3, 4)));
    }

    private static Bytes32 State(int branch, int epoch) => new([(byte)branch, (byte)epoch, 1, .. new byte[29]]);

    private static BranchCommit Commit(int branch, int epoch) => new((ulong)epoch, State(branch, epoch), State(9, 9), true, State(branch, epoch));

    /// <summary>Somebody who gets commits and messages, holds back what has no known parent, and resolves.</summary>
    private sealed class Receiver
    {
        private readonly Dictionary<int, JsonElement> _steps;
        private readonly Dictionary<string, (Bytes32 State, ulong Epoch)> _states;
        private readonly List<(Bytes32 Parent, BranchCommit Commit)> _parked = [];
        private readonly List<HeldMessage> _messages = [];
        private readonly BranchTree _tree;

        public Receiver(JsonElement file, string joined)
        {
            _steps = file.GetProperty("steps").EnumerateArray().ToDictionary(step => step.GetProperty("n").GetInt32());
            _states = file.GetProperty("states").EnumerateObject().ToDictionary(
                state => state.Name, state => (state.Value.Key("commitment"), Epoch(state.Name)), StringComparer.Ordinal);
            _tree = new BranchTree(ConvergencePolicy.Adopted, _states[joined].State, _states[joined].Epoch);
        }

        public IEnumerable<int> Numbers => _steps.Keys.Order();

        public string Label => _states.Single(pair => pair.Value.State == _tree.Tip).Key;

        public void Give(int number)
        {
            if (!_steps.TryGetValue(number, out var step))
            {
                return; // a Welcome, a proposal, or what leads nowhere
            }

            var source = _states[step.Text("source")].State;
            if (step.TryGetProperty("message", out _))
            {
                _messages.Add(new HeldMessage(source, step.Key("by")));
                return;
            }

            var (state, epoch) = _states[step.Text("after")];
            _parked.Add((source, new BranchCommit(epoch, state, step.Key("by"), step.GetProperty("privileged").GetBoolean(), step.Key("commit"))));
        }

        // Passes until one changes nothing.
        public void Resolve()
        {
            Bytes32 before;
            do
            {
                before = _tree.Tip;
                while (_parked.RemoveAll(one => _tree.TryAdd(one.Parent, one.Commit)) > 0)
                {
                    // A commit may be the parent's of another.
                }

                _tree.Resolve(_messages);
            }
            while (_tree.Tip != before);
        }

        // "epoch12b" is another state of epoch 12.
        private static ulong Epoch(string label) =>
            ulong.Parse(string.Concat(label.Where(char.IsAsciiDigit)), System.Globalization.CultureInfo.InvariantCulture);
    }
}
