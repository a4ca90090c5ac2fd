using System.Numerics;

namespace Marmot.Mls.Tree;

/// <summary>Index arithmetic of full binary trees kept in an array (RFC 9420, appendix C). Leaf i is node 2i; the number of leaves is always a power of
/// two.</summary>
internal static class TreeMath
{
    public static int Level(int node) => BitOperations.TrailingZeroCount(~node);

    public static bool IsLeaf(int node) => (node & 1) == 0;

    public static int NodeCount(int leaves) => leaves == 0 ? 0 : (2 * leaves) - 1;

    public static int Root(int leaves) => leaves - 1;

    public static int Left(int node) => node ^ (1 << (Level(node) - 1));

    public static int Right(int node) => node ^ (3 << (Level(node) - 1));

    public static int Parent(int node)
    {
        var level = Level(node);
        return (node | (1 << level)) & ~(1 << (level + 1));
    }

    public static int Sibling(int node)
    {
        var parent = Parent(node);
        return node < parent ? Right(parent) : Left(parent);
    }

    /// <summary>Parents from the leaf's own up to the root.</summary>
    public static List<int> DirectPath(int leaf, int leaves)
    {
        var path = new List<int>();
        for (int node = 2 * leaf, root = Root(leaves); node != root;) path.Add(node = Parent(node));
        return path;
    }

    /// <summary>First leaf of the subtree under a node.</summary>
    public static int FirstLeaf(int node) => (node + 1 - (1 << Level(node))) / 2;

    /// <summary>Number of leaf places under a node.</summary>
    public static int LeavesUnder(int node) => 1 << Level(node);

    public static bool IsLeafUnder(int leaf, int node) => leaf >= FirstLeaf(node) && leaf < FirstLeaf(node) + LeavesUnder(node);

    /// <summary>The lowest node above both leaves.</summary>
    public static int CommonAncestor(int leafA, int leafB)
    {
        int a = 2 * leafA, b = 2 * leafB;
        if (a == b) return a;
        var level = 32 - BitOperations.LeadingZeroCount((uint)(a ^ b));
        return (a >> level << level) | ((1 << (level - 1)) - 1);
    }
}
