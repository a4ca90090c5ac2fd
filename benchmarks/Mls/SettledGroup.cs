using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Benchmarks.Mls;

/// <summary>A group whose parent nodes are all set: every second member has committed right after it joined, which is the cheapest way there.</summary>
internal static class SettledGroup
{
    public static Figures Measure(int members, int rounds)
    {
        var (committer, observer) = Build(members);
        var figures = new Figures();
        for (var round = 0; round < rounds; round++)
        {
            Follow("settledUpdate", "processSettledUpdate", new CommitRequest { ForcePath = true });
            Follow("settledRemove", "processSettledRemove", new CommitRequest { Proposals = [new RemoveProposal((uint)(1 + (round % (members / 2))))] });
            using var newcomer = OwnGroup.Generate("newcomer");
            Follow("settledAdd", "processSettledAdd", OwnGroup.Add(newcomer));
        }

        committer.Dispose();
        observer.Dispose();
        return figures;

        // Staged, measured and thrown away: the tree stays as it is.
        void Follow(string row, string processRow, CommitRequest request)
        {
            var commit = figures.Time(row, () => committer.Commit(request));
            var bytes = commit.Message!.ToBytes();
            observer.Discard(figures.Time(processRow, () => OwnGroup.Staged(observer, bytes)));
            committer.Discard(commit);
        }
    }

    private static (Group Committer, Group Observer) Build(int members)
    {
        using var first = OwnGroup.Generate("first");
        var committer = Group.Create("settled"u8.ToArray(), first, []);
        Group? previous = null;
        for (var count = 1; count < members; count += 2)
        {
            using var even = OwnGroup.Generate($"member {count}");
            using var odd = OwnGroup.Generate($"member {count + 1}");
            var add = committer.Commit(OwnGroup.Add(even, odd));
            committer.Merge(add);
            var joined = Group.Join(OwnGroup.Wire(add.Welcome!.ToBytes()), even);
            var update = joined.Commit(new CommitRequest { ForcePath = true });
            joined.Merge(update);
            committer.Merge(OwnGroup.Staged(committer, update.Message!.ToBytes()));
            previous?.Dispose();
            (previous, committer) = (committer, joined);
        }

        return (committer, previous!);
    }
}
