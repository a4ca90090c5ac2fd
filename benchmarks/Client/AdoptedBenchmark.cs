using System.Diagnostics;
using System.Globalization;
using Marmot.Client.Adopted;
using Marmot.Client.Storage;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Benchmarks.Client;

/// <summary>Groups of the adopted profile without relays, stores on disk, beside what the cryptography of a message alone costs in the same run.</summary>
internal static class AdoptedBenchmark
{
    private const string Text = "forty characters of chat, more or less..";

    public static int Run(int messages)
    {
        using var folder = new TemporaryFolder();
        var (sealing, opening) = ClientBenchmark.Floor(Math.Min(messages, 2000));
        Line("seal one message, cryptography alone", sealing, "us", "MLS protect, envelope, Schnorr sign");
        Line("open one message, cryptography alone", opening, "us", "Schnorr verify, envelope, MLS open");

        // 1. Founding by size; the last one joins.
        foreach (int size in (int[])[10, 50, 150])
        {
            var people = People(folder, $"found{size}-", size);
            double found = Time(() => Found(people, size, joins: 0, admins: 1));
            double join = Time(() => Join(people[0], people[size - 1]));
            Line($"found a group of {size}", found, "ms",
                string.Create(CultureInfo.InvariantCulture, $"{found / size:F2} ms a member, one commit and one Welcome"));
            Line($"the last one joins the group of {size}", join, "ms", "every leaf's account proof is checked");
            Close(people);
        }

        // 2. Messages, one after the other, and all of them at once at somebody who was away.
        var pair = People(folder, "pair-", 2);
        Found(pair, 2, joins: 1, admins: 1);
        var events = new List<NostrEvent>(messages);
        double send = Time(() =>
        {
            for (int i = 0; i < messages; i++)
            {
                events.Add(pair[0].Group!.CreateMessage(Rumor.Create(pair[0].Key.PublicKey, 9, [], $"{Text}{i}", 1_800_000_000 + i)).Event);
            }
        });
        Line("seal and store messages", messages / (send / 1000), "/s", Ratio(messages / (send / 1000), sealing));
        double read = Time(() => pair[1].Group!.Receive(events.Where(evt => evt.TryVerify(out _)), isComplete: true));
        Line($"catch up with {messages} messages", messages / (read / 1000), "/s", Ratio(messages / (read / 1000), opening));
        int shown = pair[1].Group!.Messages().Count;
        Close(pair);
        if (shown != messages)
        {
            Console.Error.WriteLine($"{shown} of {messages} messages were read");
            return 1;
        }

        // 3. A pass over rival branches.
        foreach (int branches in (int[])[2, 5, 10])
        {
            var rivals = People(folder, $"pass{branches}-", 12);
            Found(rivals, 12, joins: 11, admins: 10);
            var commits = rivals.Take(branches).Select((one, i) => one.Group!.StageChange(new AdoptedChange { Name = $"name {i}" })!).ToList();
            var reader = rivals[11].Group!;
            double take = Time(() => reader.Receive(commits));
            Thread.Sleep(reader.Remaining ?? TimeSpan.Zero);
            double decide = Time(() => reader.Tick());
            Line($"a pass over {branches} branches", decide, "ms",
                string.Create(CultureInfo.InvariantCulture, $"after {take / branches:F2} ms a commit to judge and keep it"));
            Close(rivals);
        }

        // 4. What the states of a window take.
        var many = People(folder, "many-", 500);
        Found(many, 500, joins: 0, admins: 1);
        for (int i = 0; i < 6; i++)
        {
            _ = many[0].Group!.StageChange(new AdoptedChange { Name = $"name {i}" });
            many[0].Group!.ConfirmCommit();
        }

        var states = many[0].Group!.States.Values.Where(entry => entry.Bytes > 0).ToList();
        Line("states of the window at 500 members", states.Sum(entry => entry.Bytes) / 1024.0, "KiB",
            string.Create(CultureInfo.InvariantCulture, $"{states.Count} states of {states[0].Bytes / 1024.0:F0} KiB, in the store"));
        Close(many);
        return 0;
    }

    private static List<Person> People(TemporaryFolder folder, string name, int count) =>
        [.. Enumerable.Range(0, count).Select(i => new Person(i is 0 or 1 || count <= 12 ? folder.File(name + i) : null))];

    private static void Found(List<Person> people, int size, int joins, int admins)
    {
        people[0].Begin(AdoptedGroup.Found(people[0].Key, new AdoptedFounding { Name = "bench", Relays = ["wss://relay.example"] }, DateTimeOffset.UtcNow),
            false);
        _ = people[0].Group!.StageChange(new AdoptedChange
        {
            Add = [.. people.Skip(1).Take(size - 1).Select(one => new AdoptedInvitee(one.Key.PublicKey, one.Package.KeyPackage.ToBytes(), default))],
            Admins = [.. people.Take(admins).Select(one => one.Key.PublicKey)],
        });
        people[0].Group!.ConfirmCommit();
        for (int i = 1; i <= joins; i++)
        {
            Join(people[0], people[i]);
        }
    }

    private static void Join(Person inviter, Person joiner)
    {
        byte[] welcome = inviter.Group!.WelcomesOwed()[0].Welcome;
        if (!MlsMessage.TryRead(welcome, out var message, out _)
            || !AdoptedWelcome.TryJoin(message!, joiner.Package, inviter.Key.PublicKey, out var group, out _, out _))
        {
            throw new InvalidOperationException("the bench's own Welcome is refused");
        }

        joiner.Begin(group, true);
    }

    private static void Close(List<Person> people) => people.ForEach(one => one.Dispose());

    private static double Time(Action step)
    {
        long start = Stopwatch.GetTimestamp();
        step();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    private static string Ratio(double perSecond, double microseconds) =>
        string.Create(CultureInfo.InvariantCulture, $"{perSecond * microseconds / 1e6:F2} of the cryptography alone on one core");

    private static void Line(string name, double value, string unit, string note) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-44}{value,12:F1} {unit,-4} {note}"));

    private sealed class Person : IDisposable
    {
        private readonly ClientStore _store;

        public Person(string? folder)
        {
            Package = AdoptedLeaf.Create(Key, DateTimeOffset.UtcNow);
            if (folder is null)
            {
                _store = ClientStore.InMemory();
                return;
            }

            Directory.CreateDirectory(folder);
            using var secret = StoreSecret.FromKeyFile(Path.Combine(folder, "store.key"));
            _store = ClientStore.Open(folder, secret);
        }

        public SecretKey Key { get; } = SecretKey.Generate();

        public KeyPackageSecrets Package { get; }

        public AdoptedGroup? Group { get; private set; }

        public void Begin(Marmot.Mls.Groups.Group mls, bool isJoined)
        {
            var batch = new StoreBatch();
            Group = AdoptedGroup.Begin(_store, TimeProvider.System, Key.PublicKey, mls, DateTimeOffset.UtcNow.ToUnixTimeSeconds(), isJoined, batch);
            _store.Commit(batch);
        }

        public void Dispose()
        {
            Group?.Dispose();
            Package.Dispose();
            Key.Dispose();
            _store.Dispose();
        }
    }
}
