import{e as o}from"./chunk-VOLPVCQC.js";window.tolkyn={sdk:o};
