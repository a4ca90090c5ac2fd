using System.Globalization;
using System.Text.Json;
using Marmot.Client.Adopted;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Encoding;
using Xunit.Abstractions;

namespace Marmot.Client.Tests.Adopted;

/// <summary>Group lives recorded from MDK, replayed on our engine from the key package to the last message; in the recorded order and in others.</summary>
[Trait("Spec", "Adopted profile")]
public sealed class ReplayTests(ITestOutputHelper output)
{
    /// <summary>Orders of delivery tried for each receiver; set to 1000 for a full run.</summary>
    private static readonly int Orders =
        int.TryParse(Environment.GetEnvironmentVariable("MARMOT_ADOPTED_ORDERS"), NumberStyles.None, CultureInfo.InvariantCulture, out int orders) ? orders
        : 12;

    private static readonly string[] Forks =
        ["fork-committer", "fork-depth", "fork-digest", "fork-late-inside", "fork-late-loses", "fork-late-outside", "fork-priority", "fork-quorum-tie",
        "fork-witness-quorum", "fork-witness-score"];

    private static readonly string[] Random = ["random-01", "random-02", "random-03", "random-04"];

    public static TheoryData<string, string> LifeReceivers => Pairs(["life-basic", "life-leave", "life-disband"]);

    public static TheoryData<string, string> RandomReceivers => Pairs(Random);

    public static TheoryData<string, string> AllReceivers => Pairs(["life-basic", "life-leave", .. Forks, .. Random]);

    public static TheoryData<string> ForkNames => [.. Forks];

    [Theory]
    [MemberData(nameof(LifeReceivers))]
    public void A_recorded_life_is_followed_from_the_key_package_to_the_last_message(string name, string who)
    {
        var life = RecordedLife.Read(name);
        using var receiver = life.Receive(who);
        string state = life.Text(life.WelcomeOf(who), "after")!;
        Compare(life, receiver, state);
        var shown = new SortedSet<int>();
        for (int number = life.WelcomeOf(who) + 1; number < life.Steps.Count; number++)
        {
            if (life.Text(number, "by") == who || life.Events[number] is null)
            {
                continue;
            }

            receiver.Give(number);
            receiver.Settle();
            receiver.Restart();
            state = life.Text(number, "after") ?? state;
            if (life.Text(number, "step") == "message")
            {
                shown.Add(number);
            }

            if (receiver.Group.IsDisbanded)
            {
                Assert.Equal("life-disband", name);
                continue;
            }

            Compare(life, receiver, state);
            Assert.Equal(shown, receiver.Shown);
        }

        Assert.Empty(receiver.Withdrawn);
    }

    [Fact]
    public void Receivers_of_a_disband_keep_a_tombstone_and_nothing_else()
    {
        var life = RecordedLife.Read("life-disband");
        using var carol = life.Receive("carol");
        carol.Give(3, 4);
        carol.Settle();
        var tombstone = carol.Group.Tombstone!;
        Assert.Equal(2ul, tombstone.Epoch);
        Assert.Equal(life.AccountOf("alice"), tombstone.Actor);
        Assert.Equal(life.Steps[4].Key("mls_sha256"), tombstone.Commit);
        Assert.Equal(new[] { "alice", "bob", "carol" }.Select(life.AccountOf).Order(), tombstone.Members);
        Assert.Empty(carol.Group.States);
        carol.Restart();
        carol.Give(3);
        Assert.Throws<ClientException>(() => carol.Group.StageSelfUpdate());
    }

    [Theory]
    [MemberData(nameof(ForkNames))]
    public void A_recorded_fork_ends_where_the_recorded_receiver_did(string name)
    {
        var life = RecordedLife.Read(name);
        foreach (var run in life.File.GetProperty("fork").GetProperty("runs").EnumerateArray())
        {
            string who = run.Text("who");
            if (!life.Receivers.Contains(who) && who != "frank")
            {
                continue;
            }

            using var receiver = life.Receive(who);
            var order = run.GetProperty("order").EnumerateArray().Select(number => number.GetInt32()).ToList();
            if (run.TryGetProperty("already_applied", out var applied))
            {
                foreach (int number in applied.EnumerateArray().Select(one => one.GetInt32()))
                {
                    receiver.Give(number);
                    receiver.Settle();
                }
            }

            receiver.Give(order);
            receiver.Settle();

            // MDK keeps no states of epochs it ran through in one pass, and stops; with one of every epoch the deeper branch is followed to its end.
            string expected = (name, who) == ("fork-late-outside", "frank") ? "epoch9" : run.Text("selected_state");
            Compare(life, receiver, expected);
        }
    }

    [Theory]
    [MemberData(nameof(RandomReceivers))]
    public void A_random_life_is_in_the_recorded_state_whenever_it_settled(string name, string who)
    {
        var life = RecordedLife.Read(name);
        using var receiver = life.Receive(who);
        var end = life.File.GetProperty("end").GetProperty(who);
        var mayShow = end.TryGetProperty("not_shown", out var dropped)
            ? dropped.EnumerateObject().Select(one => int.Parse(one.Name, CultureInfo.InvariantCulture)).ToHashSet() : [];
        var shown = new SortedSet<int>();
        string state = life.Text(life.WelcomeOf(who), "after")!;
        long at = 0;
        int compared = 0;
        foreach (var delivery in life.File.GetProperty("deliveries").EnumerateArray().Where(one => one.Text("member") == who).Skip(1))
        {
            if (delivery.Text("state") is var now and not "unchanged")
            {
                state = now;
            }

            shown.UnionWith(Numbers(delivery, "shown"));
            shown.ExceptWith(Numbers(delivery, "withdrawn"));
            if (delivery.TryGetProperty("step", out var step))
            {
                receiver.Give(step.GetInt32());
                continue;
            }

            for (int i = 0; i < (delivery.TryGetProperty("n", out var times) ? times.GetInt32() : 1); i++)
            {
                receiver.Wait(TimeSpan.FromMilliseconds(delivery.GetProperty("tick").GetInt64()));
            }

            Assert.True(delivery.GetProperty("at").GetInt64() >= at);
            at = delivery.GetProperty("at").GetInt64();
            if (delivery.TryGetProperty("settled", out _))
            {
                receiver.Settle();
                Compare(life, receiver, state);
                Assert.Empty(shown.Except(receiver.Shown));
                Assert.Empty(receiver.Shown.Except(shown).Except(mayShow));
                compared++;
            }
        }

        output.WriteLine($"{compared} states compared");
        Assert.True(compared > 10);
        Compare(life, receiver, life.File.Text("agreed"));
        Assert.Empty(Numbers(end, "shown").Except(receiver.Shown));
        Assert.Empty(receiver.Shown.Except(Numbers(end, "shown")).Except(mayShow));
        Assert.Equal(Numbers(end, "withdrawn").Order(), receiver.Withdrawn);
    }

    [Theory]
    [MemberData(nameof(AllReceivers))]
    public void In_other_orders_of_delivery_the_engine_stands_where_the_rules_put_it_and_shows_the_same(string name, string who)
    {
        var life = RecordedLife.Read(name);
        int seed = Environment.GetEnvironmentVariable("MARMOT_ADOPTED_SEED") is { } text ? int.Parse(text, CultureInfo.InvariantCulture)
            : System.Random.Shared.Next();
        output.WriteLine($"seed {seed}, {Orders} orders");
        for (int i = 0; i < Orders; i++)
        {
            var dice = new Random(HashCode.Combine(seed, i) & int.MaxValue);
            int[] numbers = [.. Enumerable.Range(0, life.Steps.Count).Where(number => life.Events[number] is not null && life.Text(number, "by") != who)];
            Shuffle(numbers, dice, i);
            using var receiver = life.Receive(who);
            var model = new SlowModel(life, who);
            int at = 0;
            while (at < numbers.Length)
            {
                int many = dice.Next(1, 1 + (i % 3 == 0 ? numbers.Length : 6));
                var part = numbers.Skip(at).Take(many).ToList();
                at += many;
                receiver.Give(part);
                part.ForEach(model.Give);
                if (dice.Next(4) == 0)
                {
                    receiver.Restart();
                }

                if (dice.Next(8) == 0)
                {
                    receiver.Give(part[dice.Next(part.Count)]); // a relay shows it again
                }

                receiver.Settle();
                model.Resolve();
                Assert.True(model.Label == receiver.Label, $"seed {seed}, order {i}: {receiver.Label} instead of {model.Label}");
                Assert.True(model.Shown.SequenceEqual(receiver.Shown),
                    $"seed {seed}, order {i}: shown {string.Join(' ', receiver.Shown)} instead of {string.Join(' ', model.Shown)}");
            }
        }
    }

    // Some orders are near the recorded one, some are not.
    private static void Shuffle(int[] numbers, Random dice, int order)
    {
        if (order % 2 == 0)
        {
            dice.Shuffle(numbers);
            return;
        }

        int reach = 1 + dice.Next(12);
        var keyed = numbers.Select((number, index) => (number, Key: index + dice.Next(reach))).OrderBy(pair => pair.Key).Select(pair => pair.number).ToArray();
        keyed.CopyTo(numbers, 0);
    }

    private static void Compare(RecordedLife life, Receiver receiver, string label)
    {
        string last = string.Join(", ", receiver.Incidents.TakeLast(6).Select(one => $"{one.Outcome} {one.Reason}"));
        Assert.True(label == receiver.Label, $"{receiver.Label} instead of {label}: {last}");
        var state = life.State(label);
        var group = receiver.Group;
        Assert.Equal(state.Key("convergence_commitment"), group.TipState);
        var now = group.Describe();
        Assert.Equal(state.Text("tree_hash"), now.TreeHash);
        Assert.Equal(state.Text("epoch_authenticator"), now.EpochAuthenticator);
        Assert.Equal(state.Text("interop_check"), now.Check);
        Assert.Equal(state.Text("confirmed_transcript_hash"), now.ConfirmedTranscriptHash);
        Assert.Equal(state.Text("name"), now.Name);
        Assert.Equal(state.GetProperty("relays").EnumerateArray().Select(one => one.GetString()), now.Relays);
        Assert.Equal(state.GetProperty("admins").EnumerateArray().Select(one => Account(life, one.GetString()!)).Order(), now.Admins);
        Assert.Equal(
            state.GetProperty("members").EnumerateArray()
                .Select(one => (one.GetProperty("leaf").GetInt32(),
                Account(life, one.TryGetProperty("account", out var account) ? account.GetString()! : one.Text("name")))),
            now.Leaves.Select(leaf => (leaf.Index, leaf.PublicKey)));
        Assert.Equal(state.Text("group_event_key"), Convert.ToHexStringLower(group.States[group.TipState].EnvelopeKey!));
        Assert.Equal(state.Text("encrypted_media_secret"), Convert.ToHexStringLower(AdoptedState.MediaSecret(group.Mls)));
        if (state.TryGetProperty("components", out var components))
        {
            Assert.Equal(
                components.EnumerateObject().Select(one => (one.Name, one.Value.GetString())),
                group.State.Dictionary.Components.Select(id => ($"0x{id:x4}", (string?)Convert.ToHexStringLower(group.State.Dictionary[id]!))));
        }
    }

    private static Bytes32 Account(RecordedLife life, string nameOrKey) => Bytes32.TryParseHex(nameOrKey, out var key) ? key : life.AccountOf(nameOrKey);

    private static IEnumerable<int> Numbers(JsonElement element, string name) =>
        element.TryGetProperty(name, out var list) ? list.EnumerateArray().Select(one => one.GetInt32()) : [];

    private static TheoryData<string, string> Pairs(string[] names)
    {
        var pairs = new TheoryData<string, string>();
        foreach (string name in names)
        {
            foreach (string who in RecordedLife.Read(name).Receivers)
            {
                pairs.Add(name, who);
            }
        }

        return pairs;
    }
}
