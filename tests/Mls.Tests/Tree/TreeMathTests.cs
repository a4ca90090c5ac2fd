using System.Text.Json;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Tree;

[Trait("Spec", "RFC 9420, appendix C")]
public class TreeMathTests
{
    [Fact]
    public void Agrees_with_every_value_of_the_vectors()
    {
        foreach (var item in VectorFile.Load("tree-math"))
        {
            var leaves = item.GetProperty("n_leaves").GetInt32();
            var nodes = item.GetProperty("n_nodes").GetInt32();
            Assert.Equal(nodes, TreeMath.NodeCount(leaves));
            Assert.Equal(item.GetProperty("root").GetInt32(), TreeMath.Root(leaves));
            for (var node = 0; node < nodes; node++)
            {
                var isRoot = node == TreeMath.Root(leaves);
                Assert.Equal(Value(item, "left", node), TreeMath.IsLeaf(node) ? null : TreeMath.Left(node));
                Assert.Equal(Value(item, "right", node), TreeMath.IsLeaf(node) ? null : TreeMath.Right(node));
                Assert.Equal(Value(item, "parent", node), isRoot ? null : TreeMath.Parent(node));
                Assert.Equal(Value(item, "sibling", node), isRoot ? null : TreeMath.Sibling(node));
            }
        }

        static int? Value(JsonElement item, string name, int node)
            => item.GetProperty(name)[node] is { ValueKind: JsonValueKind.Number } value ? value.GetInt32() : null;
    }

    [Fact]
    public void The_common_ancestor_is_the_lowest_node_on_both_direct_paths()
    {
        for (var a = 0; a < 32; a++)
        {
            for (var b = 0; b < 32; b++)
            {
                if (a == b) continue;
                var onBoth = TreeMath.DirectPath(a, 32).First(TreeMath.DirectPath(b, 32).Contains);
                Assert.Equal(onBoth, TreeMath.CommonAncestor(a, b));
            }
        }
    }
}
