using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Marmot.Blossom.Index.Postgres.Migrations;

/// <summary>Positions of removed claims, so that lists read in pages go on.</summary>
[DbContext(typeof(BlossomDbContext))]
[Migration("20261130000000_Removed")]
internal sealed class Removed : Migration
{
    protected override void Up(MigrationBuilder migrationBuilder)
    {
        migrationBuilder.CreateTable(
            "blossom_removed",
            table => new
            {
                digest = table.Column<byte[]>("bytea"),
                uploaded = table.Column<long>("bigint"),
                removed = table.Column<long>("bigint"),
            },
            constraints: table => table.PrimaryKey("blossom_removed_key", row => row.digest));
        migrationBuilder.CreateIndex("blossom_removed_by_time", "blossom_removed", "removed");
    }

    protected override void Down(MigrationBuilder migrationBuilder) => migrationBuilder.DropTable("blossom_removed");
}
